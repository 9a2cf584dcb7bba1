cimport cython

from ..deadlines cimport Sweep
from ..exchange cimport Exchange
from ..metrics cimport Counters
from ..plan cimport Plan


cdef class Acceptor:
    cdef public Plan plan
    cdef public Sweep sweep
    cdef public Counters counters
    cdef public object log
    cdef public bint stopping
    cdef public set open
    cdef public dict per_client
    cdef public list spare

    @cython.locals(spare=list)
    cpdef Exchange take(self)
    cpdef give(self, Exchange x)
