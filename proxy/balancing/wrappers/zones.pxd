from .partition cimport Parts


cdef class Zones(Parts):
    cdef public str zone
    cdef public dict proxies
    cdef public Py_ssize_t min_backends
    cdef public bint divided
