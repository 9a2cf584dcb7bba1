cimport cython

from ..deadlines cimport Sweep
from ..exchange cimport Exchange
from ..http1.codec cimport RequestHead
from ..metrics cimport Counters
from ..plan cimport Plan


cdef class Acceptor:
    cdef public Plan plan
    cdef public Sweep sweep
    cdef public Counters counters
    cdef public object log, when_empty
    cdef public bint stopping, leaving
    cdef public set open
    cdef public dict per_client
    cdef public list spare

    cdef public double keepalive
    cdef public int head_size, target_size, header_count

    cpdef adopt(self, Plan plan)
    @cython.locals(spare=list, x=Exchange, head=RequestHead)
    cpdef Exchange take(self)
    cpdef give(self, Exchange x)
