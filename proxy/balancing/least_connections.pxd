cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer, Done
from .structures.records cimport BackendRecord

cdef int ATTEMPTS, WIDTH


cdef class LeastConnections(Balancer):
    cdef public double failure_penalty, turn, usual, ticked
    cdef public object dice
    cdef public list backends, records
    cdef public str key
    cdef public Py_ssize_t size
    cdef public int[::1] heap, spots
    cdef public double[::1] order
    cdef public bint shared, served

    @cython.locals(attempts=int, backend=Backend)
    cpdef Backend pick(self, bytes key)
    @cython.locals(record=BackendRecord)
    cpdef assigned(self, Backend backend)
    @cython.locals(record=BackendRecord)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(record=BackendRecord, fading=double)
    cpdef tick(self, double now)
    cpdef double ratio(self, BackendRecord record, Backend backend) except -1.0
    @cython.locals(before=double)
    cpdef bint risen(self, Py_ssize_t at) except -1
    @cython.locals(spot=Py_ssize_t, before=double, ratio=double)
    cpdef move(self, BackendRecord record, Backend backend)
    cpdef settle(self)
    @cython.locals(load=cython.longlong, weight=cython.longlong, backend=Backend, at=Py_ssize_t, spot=Py_ssize_t)
    cpdef refresh(self)
    @cython.locals(
        order=cython.double[::1], heap=cython.int[::1], spots=cython.int[::1], at=int, ratio=double, turn=double,
        best=Py_ssize_t, least=double, earliest=double, below=Py_ssize_t, end=Py_ssize_t, load=double,
    )
    cpdef sink(self, Py_ssize_t spot)
    @cython.locals(
        order=cython.double[::1], heap=cython.int[::1], spots=cython.int[::1], at=int, ratio=double, turn=double,
        above=Py_ssize_t, load=double,
    )
    cpdef rise(self, Py_ssize_t spot)
