cimport cython

from ...exchange cimport Exchange
from ...http1.codec cimport HeadBuffer, RequestHead
from ...plan cimport Plan
from ...stages.finish cimport local_error
from ...stages.route cimport start
from ..acceptor cimport Acceptor
from .body cimport StreamingSocket

cdef int READY, BODY, BUSY, TUNNEL, LINGER, CLOSED


cdef class ClientConnection(StreamingSocket):
    cdef public Plan plan
    cdef public long served, most_requests
    cdef public HeadBuffer gather
    cdef public bint working

    cpdef data_received(self, bytes data)
    cpdef _read(self, bytes data)
    @cython.locals(size=Py_ssize_t)
    cpdef _read_requests(self, bytes data, Py_ssize_t at)
    @cython.locals(acceptor=Acceptor, x=Exchange, end=Py_ssize_t, now=double, plan=Plan, head=RequestHead)
    cpdef Py_ssize_t _read_request(self, bytes data, Py_ssize_t at, Py_ssize_t size) except -1
    cpdef _gather_head(self, bytes data)
    cpdef _refuse(self, Exchange x, reason, double now)
    cpdef _adopt(self, Plan plan)
    cpdef _go_on(self)
    cpdef _end(self, double now)
    cpdef retire(self, double now)
