from .placement cimport Placement


cdef class Rendezvous(Placement):
    cdef public unsigned short[::1] owners
    cdef public int shift

    cpdef Py_ssize_t at(self, unsigned long long place) except -1
