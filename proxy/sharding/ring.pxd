cimport cython

from .placement cimport Placement

cdef unsigned long long OWNER


cdef class Ring(Placement):
    cdef public unsigned long long[::1] points
    cdef public int[::1] starts
    cdef public int shift

    @cython.locals(at=Py_ssize_t, last=Py_ssize_t)
    cpdef Py_ssize_t at(self, unsigned long long place) except -1
