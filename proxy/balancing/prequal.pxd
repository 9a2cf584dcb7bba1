cimport cython

from ..upstream.backend cimport Backend
from ..upstream.load.report cimport LoadReport
from .base cimport Balancer, Done
from .structures.probe_pool cimport PooledProbe, ProbePool, ProbeSchedule
from .structures.sampling cimport Urn

cdef int SEEN, HIGHEST


cdef class Prequal(Balancer):
    cdef public double q_rif, reuse, now
    cdef public object dice
    cdef public Urn urn
    cdef public ProbePool pool
    cdef public ProbeSchedule asking
    cdef public bint turn
    cdef public list seen, often
    cdef public set backends
    cdef public long long reports
    cdef public Py_ssize_t hot_above

    @cython.locals(urn=Urn, pool=ProbePool, at=Py_ssize_t, probe=PooledProbe, backend=Backend)
    cpdef Backend pick(self, bytes key)
    @cython.locals(best=Py_ssize_t, least=double, value=double, cold=bint, is_cold=bint, at=Py_ssize_t, probe=PooledProbe)
    cpdef Py_ssize_t best(self) except -2
    @cython.locals(worst=Py_ssize_t, most=double, value=double, hot=bint, is_hot=bint, at=Py_ssize_t, probe=PooledProbe)
    cpdef Py_ssize_t worst(self) except -2
    @cython.locals(at=Py_ssize_t)
    cpdef tidy(self)
    @cython.locals(in_flight=double, latency=double, many=Py_ssize_t)
    cpdef take(self, Backend backend, LoadReport report, double now)
    @cython.locals(at=Py_ssize_t)
    cpdef count(self, Py_ssize_t in_flight)
