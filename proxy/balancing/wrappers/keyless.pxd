from ...upstream.backend cimport Backend
from ...upstream.load.report cimport LoadReport
from ..base cimport Balancer, Done


cdef class KeylessFallback(Balancer):
    cdef public Balancer main, other
    cpdef Backend pick(self, bytes key)
    cpdef assigned(self, Backend backend)
    cpdef released(self, Backend backend, Done done)
    cpdef reported(self, Backend backend, LoadReport report, double now)
