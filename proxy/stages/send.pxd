cimport cython

from ..exchange cimport Attempt, ClientStream, Exchange, Stage
from ..http.peer cimport Peer
from ..http1.codec cimport RequestHead
from ..plan cimport RoutePlan
from ..upstream.ports cimport OutgoingRequest, UpstreamStream

cdef int HOST, X_FORWARDED_HOST, H_MAX_FORWARDS
cdef unsigned long long DROP_HOST, DROP_MAX_FORWARDS


cdef class Send(Stage):
    @cython.locals(client=ClientStream, request=RequestHead, outgoing=OutgoingRequest, peer=Peer, drop=cython.ulonglong)
    cpdef enter(self, Exchange x)
    @cython.locals(attempt=Attempt, route=RoutePlan, outgoing=OutgoingRequest, upstream=UpstreamStream, now=double,
                   client=ClientStream)
    cpdef dispatch(self, Exchange x)
