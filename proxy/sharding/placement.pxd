cdef class Placement:
    cdef public tuple names
    cdef public object weights, seeds
    cpdef Py_ssize_t at(self, unsigned long long place) except -1
