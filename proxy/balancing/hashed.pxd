cimport cython

from ..sharding.placement cimport Placement
from ..sharding.tables cimport hash_of, next_hash
from ..upstream.backend cimport Backend
from .base cimport Balancer, Done

cdef int _JUMPS
cdef double _WHOLE


cdef class Hashed(Balancer):
    cdef public double factor, quiet, least
    cdef public tuple described
    cdef public dict places
    cdef public Placement placement
    cdef public list backends
    cdef public double[::1] limits
    cdef public long long mine, others

    @cython.locals(placement=Placement, place=cython.ulonglong, at=Py_ssize_t)
    cpdef Backend pick(self, bytes key)
    @cython.locals(backend=Backend, total=double)
    cpdef bint has_room(self, Py_ssize_t at) except -1
    @cython.locals(placement=Placement, at=Py_ssize_t, count=Py_ssize_t, start=Py_ssize_t, step=Py_ssize_t)
    cpdef Py_ssize_t beyond(self, unsigned long long place, Py_ssize_t full) except -1
    cpdef assigned(self, Backend backend)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(backend=Backend, mine=cython.longlong, total=cython.longlong)
    cpdef recount(self)
