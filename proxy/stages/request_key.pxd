cimport cython

from ..exchange cimport Client, Exchange


cdef class RequestKey:
    cdef public tuple parts
    cpdef bytes of(self, Exchange x)


@cython.locals(client=Client)
cpdef bytes client_of(Exchange x)

cpdef bytes address_key(str address)
