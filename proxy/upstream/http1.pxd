cimport cython

from ..http1.codec cimport RequestHead, ResponseHead
from ..http1.framing cimport BodyReader
from .ports cimport OutgoingRequest, Requester, UpstreamStream

cdef int IDLE, AWAITING, BODY, UNTIL_CLOSE, TUNNEL, CLOSED


cdef class Http1Connection(UpstreamStream):
    cdef public object pool, transport, poll, write_now, is_closing
    cdef public double born
    cdef public long long served
    cdef public BodyReader body
    cdef public ResponseHead head
    cdef public int state, interims
    cdef public Requester requester
    cdef public bytes partial

    @cython.locals(block=bytes, head=bytes)
    cpdef send(self, Requester requester, OutgoingRequest request, body, double deadline)
    @cython.locals(requester=Requester)
    cpdef data_received(self, bytes data)
    cpdef _read(self, bytes data)
    @cython.locals(head=ResponseHead, requester=Requester, start=Py_ssize_t, end=Py_ssize_t)
    cpdef _head_bytes(self, bytes data)
    cpdef _interim(self, Requester requester, ResponseHead head)
    @cython.locals(have=Py_ssize_t, length=cython.longlong)
    cpdef _begin_body(self, Requester requester, ResponseHead head, bytes data, Py_ssize_t end)
    @cython.locals(body=BodyReader, whole=bint)
    cpdef _begin_chunked(self, Requester requester, ResponseHead head, bytes data, Py_ssize_t end)
    cpdef _hand_on(self, Requester requester, out, Py_ssize_t size)
    @cython.locals(head=ResponseHead)
    cpdef _complete(self, Requester requester, bint clean, Py_ssize_t body_end)
    @cython.locals(head=ResponseHead, wanted=bint)
    cpdef _release(self, Requester requester, bint clean)
    @cython.locals(requester=Requester)
    cpdef _body_bytes(self, bytes data)
    @cython.locals(requester=Requester)
    cpdef _raw_bytes(self, bytes data)
    cpdef _switch(self, Requester requester, ResponseHead head)
    cpdef _fail(self, reason)
