cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer, Done
from .structures.alias_table cimport AliasTable


cdef class First(Balancer):
    cdef public long long max_in_flight
    cdef public double heaviest
    cdef public AliasTable draws
    cdef public list backends, open
    cdef public dict places
    cdef public long long[::1] limits
    cdef public bytearray listed

    @cython.locals(places=list, at=Py_ssize_t)
    cpdef Backend pick(self, bytes key)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(backend=Backend)
    cpdef long long room(self, Py_ssize_t at) except? -1
    cpdef relist(self, Py_ssize_t at)
    @cython.locals(one=Py_ssize_t, other=Py_ssize_t, first=Backend, second=Backend)
    cpdef Py_ssize_t less_full(self) except -1
