cimport cython

from ..scoreboard cimport Scoreboard
from .load.report cimport LoadReport

cdef int IN_FLIGHT, ROW, CONNECTIONS, CONNECTS


cdef class Backend:
    cdef public object spec, pool
    cdef public str name
    cdef public dict learned
    cdef public int weight, scale, own
    cdef public LoadReport report
    cdef public Scoreboard board
    cdef public long long[::1] rows
    cdef public bint healthy
    cdef public double added, reported_at, times_ejected
    cdef public int errors_in_row, gateway_in_row, connects_in_row

    @cython.locals(board=Scoreboard, total=cython.longlong, at=cython.int, end=cython.int)
    cpdef long long load(self)
    cpdef count(self, int cell)
    cpdef pool_size(self, long long size, bint opened)
