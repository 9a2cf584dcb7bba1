cdef class AtomicCells:
    cdef long long[::1] cells
    cdef readonly Py_ssize_t length
    cpdef long long get(self, Py_ssize_t at) except? -1
    cpdef bint swap(self, Py_ssize_t at, long long expected, long long wanted) except -1
