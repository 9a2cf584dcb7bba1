from ..exchange cimport ClientStream


cdef class ClientSocket(ClientStream):
    cdef public str listener
    cdef public object transport, write
    cdef public int state
    cdef public bint eof, read_paused
    cdef public long long waited_for

    cpdef stop_reading(self)
    cpdef start_reading(self)
    cpdef close(self, double now, double flush_seconds, bint unread)
    cpdef send(self, data)
    cpdef send_pair(self, bytes head, body)
    cpdef cut(self, bint reset)
