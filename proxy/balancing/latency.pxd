cimport cython

from .structures.records cimport BackendRecord
from .scored cimport Scored


cdef class Latency(Scored):
    @cython.locals(keep=double)
    cpdef learn(self, BackendRecord record, double seconds, double now)
