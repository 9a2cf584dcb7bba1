cimport cython

from ...exchange cimport Exchange, ReturnStage
from ...http1.codec cimport ResponseHead
from ...pipeline cimport Send
from ...upstream.connection cimport UpstreamConnection
from .trace cimport Rules, Trace, Try


cdef class TracedSend(Send):
    cdef public Rules rules
    @cython.locals(trace=Trace, attempt=Try)
    cpdef dispatch(self, Exchange x, bytes block, unsigned long long drop, bint add_host)


cdef class TracedReturn(ReturnStage):
    cdef public Rules rules
    cdef public ReturnStage inner
    @cython.locals(trace=Trace, attempt=Try)
    cpdef connect_failed(self, Exchange x, reason)
    @cython.locals(trace=Trace, attempt=Try)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    @cython.locals(trace=Trace, attempt=Try)
    cpdef failed(self, Exchange x, reason, bint silent)
    @cython.locals(trace=Trace, attempt=Try)
    cpdef switched(self, Exchange x, ResponseHead head)
