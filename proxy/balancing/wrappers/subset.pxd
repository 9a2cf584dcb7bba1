from .partition cimport Partition


cdef class Subset(Partition):
    cdef public Py_ssize_t size
    cdef public bytes identity
