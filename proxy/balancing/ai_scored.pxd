cimport cython

from ..upstream.backend cimport Backend
from ..upstream.load.report cimport LoadReport
from .ai_guard cimport Contest
from .ai_learned cimport Fleet, Learned
from .base cimport Balancer, Done
from .structures.probe_pool cimport PooledProbe, ProbePool, ProbeSchedule
from .structures.sampling cimport Urn

cdef unsigned long long MASK, FACTOR, ADDEND
cdef int CANCELLED, FAILED, TRACED, SWEPT
cdef double SLOPE, BELIEVED, REUSED, MOSTLY, OTHERS, LOOKOUT, CROWD, FULL_MEMORY


cdef class AiScored(Balancer):
    cdef public str mode
    cdef public int choices
    cdef public double probes, control, now, rate, most, costed, own, everybodys, mean_load, untrue
    cdef public object dice, features
    cdef public Urn urn
    cdef public list states, traces, trace
    cdef public dict known
    cdef public ProbePool pool
    cdef public ProbeSchedule asking
    cdef public Fleet fleet
    cdef public Contest contest
    cdef public Py_ssize_t swept
    cdef public long long picked, crowd
    cdef public bint by_cost, in_fleet, turn, tagging

    @cython.locals(size=Py_ssize_t, chance=double, random=cython.ulonglong, best=Learned)
    cpdef Backend pick(self, bytes key)
    @cython.locals(at=Py_ssize_t, first=Learned, second=Learned)
    cpdef Backend of_two(self)
    @cython.locals(best=Learned, state=Learned, least=double, score=double, left=int, everyone=bint, at=Py_ssize_t)
    cpdef Learned of_sample(self, unsigned long long random, Py_ssize_t size)
    @cython.locals(at=Py_ssize_t)
    cpdef Py_ssize_t place(self, unsigned long long random, Py_ssize_t size) except -1
    @cython.locals(
        pool=ProbePool, best=Learned, state=Learned, probe=PooledProbe, least=double, most=double, chosen=Py_ssize_t,
        worst=Py_ssize_t, at=Py_ssize_t, usual=double, believed=double, in_flight=double, own=double, score=double,
    )
    cpdef Learned of_pool(self)
    cpdef int fresh(self) except -1
    @cython.locals(full=double, slowed=double, score=double)
    cpdef double score(self, Learned state, double in_flight) except -1.0
    @cython.locals(state=Learned, now=double, control=bint, failed=bint, cost=double, in_flight=double)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(state=Learned)
    cpdef assigned(self, Backend backend)
    @cython.locals(fleet=Fleet, own=double, at_pick=double, at_end=double)
    cpdef learn(self, Learned state, Done done, double cost, double in_flight, bint control)
    @cython.locals(in_flight=double, own=double)
    cpdef double take_report(self, Learned state, LoadReport report, double now) except -2.0
    @cython.locals(state=Learned)
    cpdef reported(self, Backend backend, LoadReport report, double now)
    @cython.locals(size=Py_ssize_t, at=Py_ssize_t, state=Learned, capacities=double)
    cpdef sweep(self, Py_ssize_t count, double now)
