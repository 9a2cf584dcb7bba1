from .backend cimport Backend
from .load.report cimport LoadReport
from .queue cimport Queue

cdef int U_BALANCER_FAILED, U_BALANCER_SLOW


cdef class Picker:
    cdef public str name
    cdef public object selector, balance, balancer, spare
    cdef public long long[::1] rows
    cdef public list everyone, rotating, seen, usable
    cdef public set known
    cdef public bint panicking
    cdef public int available
    cdef public Queue queue

    cpdef reported_to(self, Backend backend, LoadReport report, double now)
