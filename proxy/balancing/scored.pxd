cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer, Done
from .structures.alias_table cimport AliasTable
from .structures.records cimport BackendRecord

cdef int ANSWERED, FAILED, ATTEMPTS
cdef double SHORTEST, SUSPECT


cdef class Scored(Balancer):
    cdef public str key
    cdef public Py_ssize_t choices
    cdef public double decay, failure_penalty, least, usual, mean_load, ticked
    cdef public AliasTable draws
    cdef public list backends, records
    cdef public double[::1] scale, scores
    cdef public bint shared

    cpdef learn(self, BackendRecord record, double seconds, double now)
    @cython.locals(at=Py_ssize_t, attempts=int)
    cpdef Backend pick(self, bytes key)
    @cython.locals(record=BackendRecord)
    cpdef assigned(self, Backend backend)
    @cython.locals(record=BackendRecord)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(draws=AliasTable, scores=cython.double[::1], best=Py_ssize_t, at=Py_ssize_t, left=Py_ssize_t, least=double)
    cpdef Py_ssize_t lowest(self) except -1
    @cython.locals(before=double)
    cpdef bint risen(self, Py_ssize_t at) except -1
    @cython.locals(at=Py_ssize_t, seconds=double, load=double)
    cpdef rescore(self, BackendRecord record, Backend backend)
    @cython.locals(at=Py_ssize_t, end=Py_ssize_t, load=cython.longlong, backend=Backend)
    cpdef score_all(self)
    cpdef note(self, BackendRecord record, Done done)
    @cython.locals(record=BackendRecord, least=double, total=double, fresh=Py_ssize_t)
    cpdef fade(self, double by, double failing)
