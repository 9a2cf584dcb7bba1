cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer


cdef class RoundRobin(Balancer):
    cdef public object dice
    cdef public list order
    cdef public Py_ssize_t next

    @cython.locals(position=Py_ssize_t)
    cpdef Backend pick(self, bytes key)
