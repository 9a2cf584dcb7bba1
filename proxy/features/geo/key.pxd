cimport cython

from ...exchange cimport Client, Exchange
from ...stages.request_key cimport RequestKey
from .locator cimport Locator


cdef class LocatedKey(RequestKey):
    cdef public Locator locator
    @cython.locals(client=Client, locator=Locator, location=bytes, key=bytes)
    cpdef bytes of(self, Exchange x)
