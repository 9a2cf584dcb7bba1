cimport cython


cdef class Histogram:
    cdef public unsigned long long[::1] cells
    @cython.locals(micros=cython.longlong, octave=cython.int)
    cpdef observe(self, double seconds)


cdef class Counters:
    cdef public long long connections, connections_open, requests, in_flight, bytes_in, bytes_out
    cdef public unsigned long long[::1] statuses
    cdef public dict reasons
    cdef public Histogram seconds
    cpdef finished(self, int status, double seconds)
