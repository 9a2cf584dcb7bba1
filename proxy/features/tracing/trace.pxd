cimport cython

from ...exchange cimport ClientStream, Exchange
from ...http.peer cimport Peer
from ...http1.codec cimport HeaderEdits, RequestHead, new_id
from ...upstream.backend cimport Backend


cdef HeaderEdits NOTHING


cdef class Rules:
    cdef public bint everybody, nobody, always_flag, errors, sampled
    cdef public double slow
    cdef public bytes threshold
    cpdef bint believes(self, Peer client) except -1
    @cython.locals(trace=Trace, ids=bytes, head=RequestHead, client=ClientStream)
    cpdef Trace begin(self, Exchange x)


cdef class Trace:
    cdef public bytes trace_id, parent_id, server_id, next_id, state
    cdef public bint flagged, shared, announced
    cdef public list tries
    cdef public Try current
    @cython.locals(before=Try, backend=Backend, picked=double)
    cpdef Try go(self, Exchange x)
    @cython.locals(attempt=Try)
    cpdef Try begin_try(self, double picked, backend)
    @cython.locals(parent=bytes, fields=tuple)
    cpdef HeaderEdits fields(self, Try attempt)


cdef class Try:
    cdef public bytes id
    cdef public object backend, reason
    cdef public double picked, sent, headed, ended
    cdef public int status
    cdef public bint hedge, dropped
    cpdef end(self, double now)
