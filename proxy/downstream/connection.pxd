cimport cython

from ..exchange cimport Client, Exchange
from ..http1.codec cimport ChunkedDecoder, HeadBuffer
from ..plan cimport Plan, RoutePlan
from ..pipeline cimport answer, finish, start
from .acceptor cimport Acceptor


cdef class ClientConnection(Client):
    cdef public Acceptor acceptor
    cdef public object transport
    cdef public Plan plan
    cdef public int state
    cdef public long served, most_requests
    cdef public HeadBuffer gather
    cdef public bytes held
    cdef public Py_ssize_t held_at
    cdef public bint working, eof, write_paused, read_paused, backend_eof
    cdef public long long lingered, left
    cdef public Exchange x
    cdef public ChunkedDecoder decoder

    cpdef data_received(self, bytes data)
    @cython.locals(size=Py_ssize_t)
    cpdef _read_requests(self, bytes data, Py_ssize_t at)
    @cython.locals(acceptor=Acceptor, x=Exchange, end=Py_ssize_t, now=double, plan=Plan)
    cpdef Py_ssize_t _read_request(self, bytes data, Py_ssize_t at, Py_ssize_t size) except -1
    cpdef _gather_head(self, bytes data)
    cpdef _refuse(self, Exchange x, reason, double now)
    cpdef _adopt(self, Plan plan)
    @cython.locals(decoder=ChunkedDecoder)
    cpdef Py_ssize_t _begin_chunked(self, Exchange x, bytes data, Py_ssize_t end) except -2
    @cython.locals(have=Py_ssize_t, want=cython.longlong)
    cpdef Py_ssize_t _begin_length(self, Exchange x, bytes data, Py_ssize_t end, Py_ssize_t size) except -2
    @cython.locals(x=Exchange, size=Py_ssize_t, rest=Py_ssize_t)
    cpdef _read_body_bytes(self, bytes data)
    cpdef _read_chunked_bytes(self, Exchange x, ChunkedDecoder decoder, bytes data)
    cpdef _end_body(self, Exchange x)
    cpdef _pace_body(self, Exchange x, double now)
    @cython.locals(route=RoutePlan)
    cpdef _set_request_deadline(self, Exchange x, double now)
    cpdef _stop_reading(self)
    cpdef _start_reading(self)
    cpdef _hold(self, bytes data)
    cpdef _go_on(self)
    cpdef _close(self, double now)
    cpdef retire(self, double now)
    @cython.locals(x=Exchange)
    cpdef _read_tunnel_bytes(self, bytes data)
    cpdef _close_tunnel(self, Exchange x)
