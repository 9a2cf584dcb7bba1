cimport cython

from ...upstream.backend cimport Backend
from .sampling cimport Urn


cdef class PooledProbe:
    cdef public Backend backend
    cdef public object state
    cdef public double in_flight, latency, when, uses
    cdef public long long order


cdef class ProbePool:
    cdef public list probes
    cdef public Py_ssize_t size, count
    cdef public double max_age
    cdef public long long orders

    @cython.locals(at=Py_ssize_t, oldest=Py_ssize_t, order=cython.longlong, probe=PooledProbe)
    cpdef put(self, Backend backend, state, double in_flight, double latency, double now, double uses)
    @cython.locals(last=Py_ssize_t)
    cpdef remove(self, Py_ssize_t at)
    @cython.locals(probe=PooledProbe)
    cpdef used(self, Py_ssize_t at, bint more)
    @cython.locals(at=Py_ssize_t, found=Py_ssize_t, order=cython.longlong, probe=PooledProbe)
    cpdef Py_ssize_t oldest(self) except -2
    @cython.locals(at=Py_ssize_t, probe=PooledProbe)
    cpdef expire(self, double now)


cdef class ProbeSchedule:
    cdef public double rate, owed
    cdef public Urn urn
    cdef public object dice

    @cython.locals(urn=Urn, at=Py_ssize_t, last=Py_ssize_t)
    cpdef ask(self, ask)
