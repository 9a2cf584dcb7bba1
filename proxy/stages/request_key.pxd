cimport cython

from ..exchange cimport ClientStream, Exchange
from ..http.peer cimport Peer


cdef class RequestKey:
    cdef public tuple parts
    cpdef bytes of(self, Exchange x)


@cython.locals(peer=Peer)
cpdef bytes client_of(Exchange x)

cpdef bytes address_key(str address)
