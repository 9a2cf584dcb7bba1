cimport cython

from .finish cimport answer, finish, settle_keep
from ..exchange cimport Client, Exchange, ReturnStage, Stage
from ..http1.codec cimport ResponseHead
from ..upstream.backend cimport Backend
from ..upstream.connection cimport UpstreamConnection
from ..upstream.group cimport Group

cdef int UPGRADE, COPY_LIMIT, RESPONSES, FAILURES, SERVER_ERRORS, GATEWAY_ERRORS
cdef unsigned long long DROP_CODING, DROP_FRAMING, NOTHING


cdef class Relay(ReturnStage):
    cdef public Group group
    cdef public Stage pick, send
    @cython.locals(client=Client, backend=Backend, open_ended=bint, drop=cython.ulonglong, data=bytes)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    @cython.locals(backend=Backend, group=Group, status=cython.int)
    cpdef bint rejected(self, Exchange x, ResponseHead head) except -1
    @cython.locals(client=Client, block=bytes)
    cpdef rebuild(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint open_ended, unsigned long long drop)
    @cython.locals(client=Client)
    cpdef data(self, Exchange x, data)
    @cython.locals(client=Client)
    cpdef end(self, Exchange x)
