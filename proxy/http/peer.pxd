from ..http1.codec cimport HeaderEdits


cdef class Peer:
    cdef public str address, scheme
    cdef public bytes key
    cdef public HeaderEdits forwarded
    cdef public unsigned long long forwarded_drop
    cdef public bint trusted, forwarded_host, forwarded_static
