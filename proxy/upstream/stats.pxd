cimport cython

from ..metrics cimport Histogram
from ..scoreboard cimport Scoreboard

cdef int UPSTREAM_ROW


cdef class UpstreamStats:
    cdef public Scoreboard board
    cdef public long long[::1] rows, all_rows
    cdef public Histogram pick_seconds, connect_seconds, send_seconds, relay_seconds, finish_seconds

    cpdef count(self, int cell)
    @cython.locals(total=cython.longlong, at=Py_ssize_t, end=Py_ssize_t)
    cpdef long long total(self, int cell)
