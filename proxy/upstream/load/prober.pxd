from ...http1.codec cimport ResponseHead
from ..backend cimport Backend
from ..ports cimport OutgoingRequest, Requester, UpstreamStream
from .report cimport LoadReport
from .orca cimport parse_binary, parse_header


cdef class Prober:
    cdef public object group, spec
    cdef public dict out, requests
    cdef public int total
    cpdef over(self, Backend backend)


cdef class Probe(Requester):
    cdef public Prober prober
    cdef public Backend backend
    cdef public double deadline
    cdef public UpstreamStream connection
    cdef public bytes body
    cdef _tell(self, LoadReport report)
    cdef _over(self)
