from ..upstream.backend cimport Backend


cdef class Balancer:
    cpdef rebuild(self, members)
    cpdef Backend pick(self, bytes key)
    cpdef took(self, Backend backend)
    cpdef dropped(self, Backend backend, double seconds)
