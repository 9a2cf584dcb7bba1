cimport cython

from .structures.records cimport Record
from .scored cimport Scored


cdef class Latency(Scored):
    @cython.locals(keep=double)
    cpdef learn(self, Record record, double seconds, double now)
