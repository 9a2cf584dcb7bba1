cimport cython

from ..upstream.backend cimport Backend
from ..upstream.load.report cimport LoadReport
from .base cimport Balancer, Done

cdef double NEVER


cdef class ReportedLoad:
    cdef public double weight, first, last, rps, utilization, eps


cdef class OrcaWeighted(Balancer):
    cdef public double blackout, expiration, update_period, penalty, now, due
    cdef public object dice
    cdef public list backends, loads
    cdef public double[::1] gains, gathered
    cdef public Py_ssize_t at, size
    cdef public bint even

    @cython.locals(size=Py_ssize_t, at=Py_ssize_t, have=double)
    cpdef Backend pick(self, bytes key)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(utilization=double, load=ReportedLoad)
    cpdef reported(self, Backend backend, LoadReport report, double now)
