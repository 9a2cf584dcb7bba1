cimport cython

from ...exchange cimport Exchange, ResponseStage, Stage
from ...http1.codec cimport ResponseHead
from .trace cimport Rules, Trace, Try


cdef class TraceSend(Stage):
    cdef public Rules rules
    @cython.locals(trace=Trace, attempt=Try)
    cpdef enter(self, Exchange x)


cdef class TraceReturn(ResponseStage):
    cdef public Rules rules
    @cython.locals(trace=Trace, attempt=Try)
    cpdef connect_failed(self, Exchange x, reason)
    @cython.locals(trace=Trace, attempt=Try)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    @cython.locals(trace=Trace, attempt=Try)
    cpdef failed(self, Exchange x, reason, bint silent)
    @cython.locals(trace=Trace, attempt=Try)
    cpdef switched(self, Exchange x, ResponseHead head)
