cdef class Queue:
    cdef public long long most, length
    cdef public double patience, target, empty_at
    cdef public bint standing
    cdef public list lines
