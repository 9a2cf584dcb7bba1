cimport cython

from ..exchange cimport Exchange, Stage
from ..http1.codec cimport RequestHead
from ..limits.buckets cimport Buckets
from ..limits.rate cimport bucket_key
from ..limits.shedding cimport Shedder
from ..plan cimport RoutePlan
from ..upstream.breaker cimport Breaker
from ..upstream.group cimport Group
from .finish cimport local_error, local_reply
from .request_key cimport RequestKey

cdef int H_MAX_FORWARDS, UPGRADE, L_TAKEN, L_REFUSED, L_WOULD_REFUSE, L_REMOTE_FAILED
cdef double SECOND


cdef class Admit(Stage):
    @cython.locals(head=RequestHead, route=RoutePlan)
    cpdef enter(self, Exchange x)


cdef class Shed(Stage):
    cdef public Shedder shedder
    cdef public int priority


cdef class RateLimit(Stage):
    cdef public object spec, remote
    cdef public long long interval, depth
    cdef public bytes salt
    cdef public RequestKey key
    cdef public Buckets buckets
    cdef public long long[::1] rows
    cdef public dict numbers
    @cython.locals(key=bytes, number=cython.longlong, began=double, wait=cython.longlong)
    cpdef enter(self, Exchange x)
    cpdef long long number_of(self, bytes key) except? 0
    cpdef refuse(self, Exchange x, long long wait)


cdef class Break(Stage):
    cdef public Group group
    @cython.locals(breaker=Breaker, wait=double)
    cpdef enter(self, Exchange x)
