cimport cython

from .balancer cimport Tokens, packed, row_of
from ...exchange cimport Exchange, ResponseStage
from ...http1.codec cimport HeaderEdits, ResponseHead
from ...plan cimport RoutePlan
from ...stages.request_key cimport RequestKey
from ...upstream.backend cimport Backend
from .sessions cimport Sessions


cdef class StickyKey(RequestKey):
    cdef public RequestKey key
    @cython.locals(key=bytes)
    cpdef bytes of(self, Exchange x)
    cpdef bytes presented(self, Exchange x)


cdef class CookieKey(StickyKey):
    cdef public bytes prefix
    cdef public bint strip
    @cython.locals(value=bytes, line=bytes, pair=bytes, others=list, kept=tuple, edits=HeaderEdits)
    cpdef bytes presented(self, Exchange x)


cdef class SetCookie(ResponseStage):
    cdef public Tokens tokens
    cdef public bytes start, attributes
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    cpdef switched(self, Exchange x, ResponseHead head)
    @cython.locals(backend=Backend, route=RoutePlan, edits=HeaderEdits, token=bytes, fields=tuple)
    cpdef set(self, Exchange x, ResponseHead head)


cdef class LearnedKey(StickyKey):
    cdef public object request_session
    cdef public Sessions sessions
    @cython.locals(session=bytes)
    cpdef bytes presented(self, Exchange x)


cdef class Learn(ResponseStage):
    cdef public str upstream
    cdef public object request_session, response_session
    cdef public Sessions sessions
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    cpdef switched(self, Exchange x, ResponseHead head)
    @cython.locals(backend=Backend, session=bytes, row=cython.longlong)
    cpdef learn(self, Exchange x, ResponseHead head)
