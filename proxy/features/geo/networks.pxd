cimport cython


cpdef bytes packed(str address)


cdef class Networks:
    cdef public list starts4, names4, starts6, names6

    @cython.locals(at=Py_ssize_t)
    cpdef bytes find(self, bytes address)
