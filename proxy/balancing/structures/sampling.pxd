cimport cython


cdef class Urn:
    cdef public object dice
    cdef public list members
    cdef public double[::1] keep
    cdef public long long[::1] alias
    cdef public Py_ssize_t size
    cdef public bint even

    @cython.locals(spot=double, at=Py_ssize_t)
    cpdef Py_ssize_t draw(self) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef Py_ssize_t draw_other(self, Py_ssize_t first) except -1
