cimport cython

from ...upstream.backend cimport Backend
from ..base cimport Balancer, Done


cdef class Split:
    cdef public list children, bounds
    cdef public Balancer only

    @cython.locals(at=Py_ssize_t, last=Py_ssize_t)
    cpdef Balancer at(self, double place)


cdef class Partition(Balancer):
    cdef public object make, dice
    cdef public Balancer model
    cdef public long long seed
    cdef public bint located
    cdef public list parts
    cdef public dict children, owner
    cdef public Split split

    @cython.locals(child=Balancer, own=bytes, split=Split)
    cpdef Backend pick(self, bytes key)
    cpdef double place_of(self, bytes key) except -1.0
    @cython.locals(child=Balancer)
    cpdef assigned(self, Backend backend)
    @cython.locals(child=Balancer)
    cpdef released(self, Backend backend, Done done)


@cython.locals(at=Py_ssize_t)
cpdef bytes behind_location(bytes key)
