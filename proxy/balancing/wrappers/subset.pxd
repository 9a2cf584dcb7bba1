from .partition cimport Parts


cdef class Subset(Parts):
    cdef public Py_ssize_t size
    cdef public bytes identity
