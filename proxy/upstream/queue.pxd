from ..metrics cimport Histogram
from .ports cimport Requester


cdef class Queue:
    cdef public long long max_length, length
    cdef public double patience, target, empty_at
    cdef public bint standing
    cdef public list lines

    cpdef bint push(self, requester, int priority, double now, double deadline) except -1
    cpdef peek(self, Py_ssize_t at=*)
    cpdef pop(self, Py_ssize_t at=*)


cpdef note_wait(Requester requester, double now, Histogram seconds)
