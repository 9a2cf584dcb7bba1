from .placement cimport Placement


cdef class Maglev(Placement):
    cdef public unsigned short[::1] owners
    cdef public unsigned long long size

    cpdef Py_ssize_t at(self, unsigned long long place) except -1
