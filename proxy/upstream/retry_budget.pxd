cdef class RetryBudget:
    cdef public double tokens, per_request, per_second

    cpdef deposit(self)
    cpdef bint withdraw(self) except -1
