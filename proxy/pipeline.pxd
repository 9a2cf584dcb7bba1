cimport cython

from .balancing.base cimport Balancer
from .stages.finish cimport answer
from .exchange cimport Client, Exchange, Stage
from .http1.codec cimport RequestHead
from .plan cimport Plan, RoutePlan
from .stages.request_key cimport RequestKey
from .upstream.backend cimport Backend
from .upstream.connection cimport UpstreamConnection
from .upstream.group cimport Group
from .upstream.picker cimport Picker
from .upstream.pool cimport Pool

cdef int HOST, UPGRADE, X_FORWARDED_HOST, H_MAX_FORWARDS, U_ACTIVE, U_REQUESTS, IN_FLIGHT, REQUESTS, RETRIES
cdef unsigned long long DROP_HOST, DROP_MAX_FORWARDS


@cython.locals(plan=Plan, client=Client, route=RoutePlan, first=Stage)
cpdef start(Exchange x)


cdef class Redirect(Stage):
    cdef public object reason
    cdef public str to


cdef class Fixed(Stage):
    cdef public object reason
    cdef public str lines
    cdef public bytes body


cdef class Admit(Stage):
    @cython.locals(head=RequestHead, route=RoutePlan, following=Stage)
    cpdef enter(self, Exchange x)


cdef class Pick(Stage):
    cdef public Group group
    cdef public Picker picker
    cdef public RequestKey key
    cdef public int priority
    @cython.locals(group=Group, picker=Picker, balancer=Balancer, backend=Backend, following=Stage, here=cython.bint,
                   new=cython.bint)
    cpdef enter(self, Exchange x)
    @cython.locals(group=Group)
    cpdef Backend within_limits(self, Exchange x, Backend backend)


cdef class Connect(Stage):
    @cython.locals(backend=Backend, pool=Pool, connection=UpstreamConnection, following=Stage)
    cpdef enter(self, Exchange x)


cdef class Send(Stage):
    @cython.locals(client=Client, block=bytes, request=RequestHead, drop=cython.ulonglong, add_host=bint)
    cpdef enter(self, Exchange x)
    @cython.locals(connection=UpstreamConnection, route=RoutePlan, client=Client, path=bytes, head=bytes, now=double,
                   request=RequestHead)
    cpdef dispatch(self, Exchange x, bytes block, unsigned long long drop, bint add_host)
