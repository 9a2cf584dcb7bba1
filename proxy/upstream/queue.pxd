cdef class Queue:
    cdef public long long most, length
    cdef public list lines
