cimport cython

from .structures.records cimport BackendRecord
from .scored cimport Scored


cdef class LeastTime(Scored):
    cdef public double window

    @cython.locals(count=double)
    cpdef learn(self, BackendRecord record, double seconds, double now)
