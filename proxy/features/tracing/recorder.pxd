cimport cython

from ...exchange cimport Exchange
from .trace cimport Rules, Trace, Try

cdef int ERROR, SLOW, FLAGGED, SHARED, NOT_KEPT


cdef class Tracer:
    cdef public Rules rules
    cdef public object cells, following, waiting, wake
    cdef public Py_ssize_t most, batch
    @cython.locals(trace=Trace, why=cython.int)
    cpdef record(self, Exchange x, double now)
    @cython.locals(rules=Rules)
    cpdef int kept_for(self, Exchange x, Trace trace, double now) except -2
    cpdef keep(self, Exchange x, Trace trace, int why, double now)
