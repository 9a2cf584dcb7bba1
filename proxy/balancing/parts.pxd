cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer, Done


cdef class Parts(Balancer):
    cdef public object make, enrolled, everyone, dice
    cdef public Balancer model
    cdef public long long seed
    cdef public bint located
    cdef public list parts, bounds, shared
    cdef public dict children, owner
    cdef public Balancer only

    @cython.locals(child=Balancer, own=bytes)
    cpdef Backend pick(self, bytes key)
    @cython.locals(place=double, at=Py_ssize_t, last=Py_ssize_t)
    cpdef Balancer drawn(self, list shared, list bounds, bytes key)
    @cython.locals(child=Balancer)
    cpdef took(self, Backend backend)
    @cython.locals(child=Balancer)
    cpdef dropped(self, Backend backend, Done done)


@cython.locals(at=Py_ssize_t)
cpdef bytes behind_location(bytes key)
