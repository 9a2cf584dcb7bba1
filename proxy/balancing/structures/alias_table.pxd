cimport cython

cdef unsigned long long MASK, LOW, MULTIPLIER
cdef int REDRAWS


cdef class AliasTable:
    cdef public unsigned long long state
    cdef public Py_ssize_t size
    cdef public bint even
    cdef public double[::1] keep
    cdef public long long[::1] alias

    @cython.locals(x=cython.ulonglong)
    cpdef unsigned long long number(self)
    @cython.locals(spot=cython.ulonglong, at=Py_ssize_t)
    cpdef Py_ssize_t draw(self)
    @cython.locals(at=Py_ssize_t, left=int)
    cpdef Py_ssize_t draw_other(self, Py_ssize_t than)
