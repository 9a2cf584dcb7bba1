cimport cython

from .exchange cimport Client, Exchange
from .geo.locator cimport Locator


cdef class RequestKey:
    cdef public tuple parts
    cpdef bytes of(self, Exchange x)


cdef class LocatedKey(RequestKey):
    cdef public Locator locator
    @cython.locals(client=Client, locator=Locator, location=bytes, key=bytes)
    cpdef bytes of(self, Exchange x)


@cython.locals(client=Client)
cpdef bytes client_of(Exchange x)

cpdef bytes address_key(str address)
