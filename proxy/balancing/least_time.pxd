cimport cython

from .structures.records cimport Record
from .scored cimport Scored


cdef class LeastTime(Scored):
    cdef public double window

    @cython.locals(count=double)
    cpdef learn(self, Record record, double seconds, double now)
