from ..base cimport Balancer

cdef int ANSWERED, FAILED
cdef double GAIN, FORGIVEN


cdef class BackendRecord:
    cdef public Balancer owner
    cdef public Py_ssize_t place
    cdef public double seconds, answered_at, failing
    cdef public long long answers
    cdef public bint fresh

    cpdef judge(self, int outcome)
    cpdef fade(self, double keep)
