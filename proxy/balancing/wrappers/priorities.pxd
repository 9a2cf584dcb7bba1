from .partition cimport Partition


cdef class Priorities(Partition):
    cdef public double factor
