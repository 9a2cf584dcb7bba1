cimport cython

from ...exchange cimport Exchange
from ...http1.codec cimport ResponseHead
from ..client_socket cimport ClientSocket

cdef int COPY_LIMIT, TUNNEL
cdef unsigned long long DROP_CODING, DROP_FRAMING, NOTHING


cdef class ResponseWriter(ClientSocket):
    cdef public bint may_keep, keep, chunk_body, backend_eof

    @cython.locals(open_ended=bint, drop=cython.ulonglong, data=bytes)
    cpdef respond(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    @cython.locals(block=bytes, decoded=bint)
    cpdef _rebuild(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint open_ended, unsigned long long drop)
    cpdef begin_tunnel(self, double idle)
