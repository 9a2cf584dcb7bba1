from ..upstream.backend cimport Backend
from ..upstream.load.report cimport LoadReport


cdef class Done:
    cdef public double seconds, now
    cdef public int outcome, in_flight
    cdef public LoadReport report


cdef class Balancer:
    cdef public object prober, former_listed, former_in_rotation
    cdef public str scope

    cpdef Backend pick(self, bytes key)
    cpdef assigned(self, Backend backend)
    cpdef released(self, Backend backend, Done done)
    cpdef reported(self, Backend backend, LoadReport report, double now)
