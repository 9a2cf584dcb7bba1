cimport cython

from ...upstream.backend cimport Backend
from ...upstream.load.report cimport LoadReport
from ..base cimport Balancer, Done


cdef class CallSeries:
    cdef public str kind
    cdef public double limit
    cdef public long long slow, quick, calls


cdef class CallTimes:
    cdef public object clock
    cdef public CallSeries path, ticks, updates
    cdef public str verdict

    @cython.locals(seconds=double)
    cpdef over(self, CallSeries series, str call, double begun)


cdef class TimeGuard(Balancer):
    cdef public Balancer inner
    cdef public object inner_pick, inner_assigned, inner_released
    cdef public CallTimes times

    @cython.locals(times=CallTimes, begun=double, backend=Backend)
    cpdef Backend pick(self, bytes key)
    @cython.locals(times=CallTimes, begun=double)
    cpdef assigned(self, Backend backend)
    @cython.locals(times=CallTimes, begun=double)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(times=CallTimes, begun=double)
    cpdef reported(self, Backend backend, LoadReport report, double now)
