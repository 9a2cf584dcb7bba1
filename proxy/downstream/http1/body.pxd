cimport cython

from ...exchange cimport Exchange
from ...http1.framing cimport BodyReader
from ...plan cimport RoutePlan
from ...stages.finish cimport finish, local_error
from ...upstream.ports cimport UpstreamStream
from ..acceptor cimport Acceptor
from .response cimport ResponseWriter

cdef int BODY, BUSY, TUNNEL


cdef class StreamingSocket(ResponseWriter):
    cdef public Acceptor acceptor
    cdef public Exchange x
    cdef public BodyReader body
    cdef public bytes held
    cdef public Py_ssize_t held_at

    @cython.locals(body=BodyReader)
    cpdef Py_ssize_t begin_body(self, Exchange x, bytes data, Py_ssize_t end) except -2
    @cython.locals(x=Exchange, body=BodyReader)
    cpdef read_body_bytes(self, bytes data)
    cpdef _end_body(self, Exchange x)
    cpdef pace_body(self, Exchange x, double now)
    @cython.locals(route=RoutePlan)
    cpdef set_request_deadline(self, Exchange x, double now)
    cpdef hold(self, bytes data)
    @cython.locals(x=Exchange, upstream=UpstreamStream)
    cpdef read_tunnel_bytes(self, bytes data)
    cpdef close_tunnel(self, Exchange x)
