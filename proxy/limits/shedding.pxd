cimport cython


cdef class Shedder:
    cdef public object spec
    cdef public double level
    cdef public list shares, debts
    @cython.locals(share=double, debt=double, refused=cython.bint)
    cpdef bint refuses(self, int priority) except -1
