from .hashed cimport Hashed


cdef class Rendezvous(Hashed):
    cdef public int slots
