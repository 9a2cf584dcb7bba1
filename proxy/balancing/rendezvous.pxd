from .hashed cimport Hashed


cdef class RendezvousHash(Hashed):
    cdef public int slots
