from .hashed cimport Hashed


cdef class MaglevHash(Hashed):
    cdef public int table
    cdef public Py_ssize_t configured
