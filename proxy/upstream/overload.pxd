cimport cython

from .backend cimport Backend
from .breaker cimport Breaker
from .stats cimport UpstreamStats

cdef int IN_FLIGHT, U_ACTIVE, U_CEILING, U_QUEUE_LENGTH


cdef class Overload:
    cdef public UpstreamStats stats
    cdef public long long[::1] rows
    cdef public long long max_requests, max_per_backend, local_share, adaptive_limit
    cdef public object gradient
    cdef public Breaker breaker
    cdef public bint shared

    cpdef bint near_limit(self, Backend backend) except -1
    cpdef bint below_limit(self, Backend backend) except -1
    @cython.locals(stats=UpstreamStats, in_flight=cython.longlong)
    cpdef bint has_room(self, long long more) except -1
