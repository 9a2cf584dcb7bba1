from ..deadlines cimport Timed
from ..http1.codec cimport HeaderEdits, RequestHead, ResponseHead


cdef class OutgoingRequest:
    cdef public RequestHead head
    cdef public bytes path
    cdef public HeaderEdits fields, own, edits
    cdef public unsigned long long drop
    cdef public bint add_host, upgrade


cdef class BodySource(Timed):
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef discard(self)


cdef class Requester:
    cdef public bint request_done, head_only, decode_body, upgrading
    cdef public double response_head, response_idle, queued_at, queued_for
    cpdef bint can_use_slot(self) except -1
    cpdef slot_free(self)
    cpdef connected(self, UpstreamStream stream)
    cpdef connect_failed(self, reason)
    cpdef interim(self, ResponseHead head)
    cpdef response(self, ResponseHead head, Py_ssize_t body_end, bint complete)
    cpdef data(self, data)
    cpdef end(self, tuple trailers)
    cpdef failed(self, reason, bint silent)
    cpdef switched(self, ResponseHead head)
    cpdef pause(self)
    cpdef resume(self)


cdef class UpstreamStream(BodySource):
    cpdef send(self, Requester requester, OutgoingRequest request, body, double deadline)
    cpdef expect_head(self, double deadline)
    cpdef write(self, data)
    cpdef end_input(self)
    cpdef close_gently(self, double deadline)
    cpdef bint usable(self)
    cpdef bint is_quiet(self)
    cpdef give_back(self)
