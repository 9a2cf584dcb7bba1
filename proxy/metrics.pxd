cimport cython

cdef int _OCTAVES, _STEPS, C_BYTES_IN, C_BYTES_OUT, C_CONNECTIONS, C_CONNECTIONS_OPEN, C_IN_FLIGHT, C_REQUESTS, C_STATUSES


cdef class Histogram:
    cdef public long long[::1] cells
    @cython.locals(micros=cython.longlong, octave=cython.int)
    cpdef int observe(self, double seconds) except -1
    cpdef add(self, int cell)


cdef class Counters:
    cdef public long long[::1] cells
    cdef public Histogram seconds
    cdef public object talkers
    cdef public int until_sample
    cpdef opened(self)
    cpdef closed(self)
    cpdef began(self)
    cpdef int finished(self, int status, double seconds, long long bytes_in, long long bytes_out) except -1
