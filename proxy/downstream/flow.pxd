from ..exchange cimport Client


cdef class ClientSocket(Client):
    cdef public str listener
    cdef public object transport, write
    cdef public int state
    cdef public bint eof, write_paused, read_paused
    cdef public long long waited_for

    cpdef stop_reading(self)
    cpdef start_reading(self)
    cpdef close(self, double now, double flush_seconds, bint unread)
