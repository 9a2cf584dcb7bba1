from ..exchange cimport Client


cdef class ClientSocket(Client):
    cdef public object transport, write
    cdef public int state
    cdef public bint eof, write_paused, read_paused
    cdef public long long lingered, waited_for

    cpdef stop_reading(self)
    cpdef start_reading(self)
    cpdef close(self, double now, double flush_seconds)
    cpdef linger(self, Py_ssize_t size)
