cimport cython

from ...upstream.backend cimport Backend
from ...upstream.load.report cimport LoadReport
from ..base cimport Balancer, Done


cdef class Series:
    cdef public str kind
    cdef public double limit
    cdef public long long slow, quick, calls


cdef class Watch:
    cdef public object clock
    cdef public Series path, ticks, updates
    cdef public str verdict

    @cython.locals(seconds=double)
    cpdef over(self, Series series, str call, double begun)


cdef class Watched(Balancer):
    cdef public Balancer inner
    cdef public object inner_pick, inner_assigned, inner_released
    cdef public Watch watch

    @cython.locals(watch=Watch, begun=double, backend=Backend)
    cpdef Backend pick(self, bytes key)
    @cython.locals(watch=Watch, begun=double)
    cpdef assigned(self, Backend backend)
    @cython.locals(watch=Watch, begun=double)
    cpdef released(self, Backend backend, Done done)
    @cython.locals(watch=Watch, begun=double)
    cpdef reported(self, Backend backend, LoadReport report, double now)
