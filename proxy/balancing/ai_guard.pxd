cimport cython


cdef class Contest:
    cdef public double slow_above
    cdef public long long usual, usual_slow, control, control_slow
    cdef public int lost, falls
    cdef public bint fallen_back
    cdef public object last

    @cython.locals(slow=bint)
    cpdef over(self, double seconds, bint failed, bint control)
