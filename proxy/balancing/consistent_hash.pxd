from .hashed cimport Hashed


cdef class ConsistentHash(Hashed):
    cdef public int points
    cdef public long long configured
