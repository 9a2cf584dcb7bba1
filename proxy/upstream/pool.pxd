cimport cython

from ..deadlines cimport Sweep, Timed
from .backend cimport Backend
from .http1 cimport Http1Connection
from .ports cimport Requester, UpstreamStream

cdef int CONNECT_FAILURES


cdef class Pool(Timed):
    cdef public Backend backend
    cdef public object settings, waiting
    cdef public Sweep sweep
    cdef public int head_size, head_count
    cdef public list idle
    cdef public double lifetime, idle_seconds
    cdef public long max
    cdef public long size, opening
    cdef public bint closed, retired
    cdef public set tasks

    @cython.locals(idle=list, connection=UpstreamStream)
    cpdef UpstreamStream acquire(self, bint verify, double now)
    @cython.locals(now=double, retire=double)
    cpdef release(self, Http1Connection connection)
    cpdef cancel(self, Requester requester)
    cpdef forget(self, Http1Connection connection)
