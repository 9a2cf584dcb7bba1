cimport cython

from ..exchange cimport Attempt, Exchange, Stage
from ..upstream.backend cimport Backend
from ..upstream.http1 cimport Http1Connection
from ..upstream.pool cimport Pool
from .attempt cimport wait_for_connection


cdef class Connect(Stage):
    @cython.locals(attempt=Attempt, backend=Backend, pool=Pool, connection=Http1Connection)
    cpdef enter(self, Exchange x)
