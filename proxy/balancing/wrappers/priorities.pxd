from .partition cimport Parts


cdef class Levels(Parts):
    cdef public double factor
