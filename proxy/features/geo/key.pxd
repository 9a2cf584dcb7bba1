cimport cython

from ...exchange cimport ClientStream, Exchange
from ...http.peer cimport Peer
from ...stages.request_key cimport RequestKey
from .locator cimport Locator


cdef class LocatedKey(RequestKey):
    cdef public Locator locator
    @cython.locals(client=ClientStream, locator=Locator, location=bytes, key=bytes)
    cpdef bytes of(self, Exchange x)
