cimport cython

from ..upstream.backend cimport Backend
from ..upstream.load.report cimport LoadReport

cdef double DRIFT, SURE, UPWARD, FADES, CONTENDED, ERRORS_FADE, PEAK_FADES, COSTS_KEPT, PENALTY, DOUBT, CHANCE
cdef int _RESPONSES


cdef class Fleet:
    cdef public double capacity, ceiling, cost, spread, latency, idle, step
    cdef public bint often

    @cython.locals(mean=double, chance=double)
    cpdef double pace(self, double costs, double number) except -1.0
    cpdef stretched(self, double stretch)


cdef class Learned:
    # what a pick reads of eight of them comes first, side by side in memory
    cdef public Backend backend
    cdef public double inverse, base, penalty
    cdef public int picks, tag, answers
    cdef public double latency, share, silence, prior
    cdef public double capacity, variance, when, error, costs, costed, cost_when
    cdef public double cpu, memory, reported_when, pace, recent, tagged

    cpdef fade(self, double now, double prior)
    @cython.locals(ratio=double, stretch=double, beside=double, gain=double, observed=double, step=double)
    cpdef completed(self, double seconds, double cost, double at_pick, double at_end, double now, Fleet fleet)
    @cython.locals(ratio=double, root=double, gap=double, kept=double)
    cpdef answered(self, double seconds, double now, Fleet fleet)
    cpdef failed(self)
    @cython.locals(errors=double)
    cpdef reported(self, LoadReport report, double now)
    @cython.locals(in_flight=double, gap=double, full=double, expected=double)
    cpdef sweep(self, double now, Fleet fleet)
    cpdef settle(self)
