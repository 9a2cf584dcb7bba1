cimport cython

from ..balancing.base cimport Balancer
from ..exchange cimport Exchange, Stage
from ..upstream.backend cimport Backend
from ..upstream.group cimport Group
from ..upstream.picker cimport Picker
from .attempt cimport begin, next_attempt
from .finish cimport local_error
from .request_key cimport RequestKey

cdef int U_ACTIVE, U_REQUESTS, RETRIES


cdef class Target:
    cdef public Group group
    cdef public Picker picker
    cpdef choose(self, Exchange x)


cdef class Pick(Stage):
    cdef public Target target
    cdef public RequestKey key
    cdef public int priority
    @cython.locals(group=Group, picker=Picker, balancer=Balancer, backend=Backend)
    cpdef enter(self, Exchange x)
    cpdef read_key(self, Exchange x)
    @cython.locals(group=Group)
    cpdef Backend within_limits(self, Exchange x, Backend backend)
