cimport cython

from ..deadlines cimport Timed
from ..http1.codec cimport ResponseHead
from ..http1.framing cimport BodyReader

cdef int IDLE, AWAITING, BODY, UNTIL_CLOSE, TUNNEL, CLOSED


cdef class Requester:
    cdef public bint request_done, head_only, decode_chunks, upgrading
    cdef public double response_head, response_idle, queued_at, queued_for
    cpdef bint fits(self) except -1
    cpdef room(self)
    cpdef connected(self, UpstreamConnection connection)
    cpdef connect_failed(self, reason)
    cpdef interim(self, ResponseHead head)
    cpdef response(self, ResponseHead head, Py_ssize_t body_end, bint complete)
    cpdef data(self, data)
    cpdef end(self)
    cpdef failed(self, reason, bint silent)
    cpdef switched(self, ResponseHead head)
    cpdef pause(self)
    cpdef resume(self)


cdef class UpstreamConnection(Timed):
    cdef public object pool, transport, poll, write_now, is_closing
    cdef public double born
    cdef public long long served
    cdef public BodyReader body
    cdef public ResponseHead head
    cdef public int state, interims
    cdef public Requester requester
    cdef public bytes partial

    cpdef send(self, Requester requester, bytes head, body, double deadline)
    cpdef expect_head(self, double deadline)
    cpdef write(self, data)
    cpdef write_eof(self)
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef bint usable(self)
    cpdef bint silent(self)
    cpdef discard(self)
    cpdef close_gently(self, double deadline)
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
