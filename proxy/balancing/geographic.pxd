cimport cython

from ..upstream.backend cimport Backend
from .base cimport Balancer
from .wrappers.partition cimport Split, Partition


cdef class LocationPlan(Split):
    cdef public object tiers
    cdef public dict shares
    cdef public long long picks


cdef class Geographic(Partition):
    cdef public bint keyed
    cdef public str spill
    cdef public double factor
    cdef public object max_in_flight, locations
    cdef public dict regions, plans
    cdef public LocationPlan anywhere

    @cython.locals(plan=LocationPlan, child=Balancer, rest=bytes, end=Py_ssize_t)
    cpdef Backend pick(self, bytes key)
