cimport cython

from ..exchange cimport ClientStream, Exchange, Peer


cdef class RequestKey:
    cdef public tuple parts
    cpdef bytes of(self, Exchange x)


@cython.locals(peer=Peer)
cpdef bytes client_of(Exchange x)

cpdef bytes address_key(str address)
