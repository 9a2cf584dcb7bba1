cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer, Done
from .records cimport Record

cdef int ATTEMPTS


cdef class LeastConnections(Balancer):
    cdef public double failure_penalty, turn, usual, ticked
    cdef public object dice
    cdef public list members, records
    cdef public str key
    cdef public Py_ssize_t size
    cdef public long long[::1] heap, spots
    cdef public double[::1] ratios, turns
    cdef public bint shared

    @cython.locals(at=Py_ssize_t, attempts=int, backend=Backend)
    cpdef Backend pick(self, bytes key)
    @cython.locals(record=Record)
    cpdef took(self, Backend backend)
    @cython.locals(record=Record)
    cpdef dropped(self, Backend backend, Done done)
    cpdef double ratio(self, Record record, Backend backend) except -1.0
    @cython.locals(before=double)
    cpdef bint risen(self, Py_ssize_t at) except -1
    @cython.locals(at=Py_ssize_t, before=double, ratio=double)
    cpdef move(self, Record record, Backend backend)
    @cython.locals(load=cython.longlong, weight=cython.longlong, backend=Backend, at=Py_ssize_t, spot=Py_ssize_t)
    cpdef refresh(self)
    cpdef bint before(self, Py_ssize_t one, Py_ssize_t other) except -1
    @cython.locals(heap=cython.longlong[::1], spots=cython.longlong[::1], at=Py_ssize_t, below=Py_ssize_t)
    cpdef sink(self, Py_ssize_t spot)
    @cython.locals(heap=cython.longlong[::1], spots=cython.longlong[::1], at=Py_ssize_t, above=Py_ssize_t)
    cpdef rise(self, Py_ssize_t spot)
