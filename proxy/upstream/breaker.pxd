from ..scoreboard cimport Scoreboard


cdef class Breaker:
    cdef public object spec
    cdef public Scoreboard board
    cdef public long long[::1] rows
    cdef public long long own, overcome, requests, failures
    cdef public bint opened
    cdef public double until, slow, calm_since, trials_since, step_ends
    cdef public int times, left, good
    cdef public list past
    cpdef double wait(self, double now) except -1.0
    cpdef record(self, double started, double now, bint failed)
