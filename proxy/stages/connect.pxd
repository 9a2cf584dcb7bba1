cimport cython

from ..exchange cimport Attempt, Exchange, Stage
from ..upstream.backend cimport Backend
from ..upstream.pool cimport Pool
from ..upstream.ports cimport UpstreamStream
from .attempt cimport wait_for_connection


cdef class Connect(Stage):
    @cython.locals(attempt=Attempt, backend=Backend, pool=Pool, connection=UpstreamStream)
    cpdef enter(self, Exchange x)
