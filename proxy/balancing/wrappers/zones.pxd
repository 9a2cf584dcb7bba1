from .partition cimport Partition


cdef class ZoneAware(Partition):
    cdef public str zone
    cdef public dict proxies
    cdef public Py_ssize_t min_backends
    cdef public bint divided
