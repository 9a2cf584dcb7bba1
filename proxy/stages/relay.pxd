cimport cython

from ..exchange cimport Attempt, ClientStream, Exchange, ResponseStage
from ..http1.codec cimport ResponseHead
from ..upstream.group cimport Group
from .attempt cimport judge, judge_failure, wait_for_connection
from .finish cimport finish, local_error

cdef int UPGRADE


cdef class Relay(ResponseStage):
    @cython.locals(client=ClientStream, attempt=Attempt)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    @cython.locals(group=Group)
    cpdef bint tried_elsewhere(self, Exchange x, ResponseHead head) except -1
    @cython.locals(client=ClientStream)
    cpdef data(self, Exchange x, data)
    @cython.locals(client=ClientStream)
    cpdef end(self, Exchange x, tuple trailers)
