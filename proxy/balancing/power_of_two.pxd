cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer
from .structures.sampling cimport Urn


cdef class PowerOfTwo(Balancer):
    cdef public Urn urn

    @cython.locals(urn=Urn, at=Py_ssize_t, other=Py_ssize_t, first=Backend, second=Backend)
    cpdef Backend pick(self, bytes key)
