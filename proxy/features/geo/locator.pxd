cimport cython

from ...http1.codec cimport RequestHead
from .database cimport Database
from .networks cimport Networks


cdef class Locator:
    cdef public bytes header, default
    cdef public dict values
    cdef public frozenset known
    cdef public Database database
    cdef public Networks networks
    cdef public bint by_address

    @cython.locals(value=bytes, found=bytes)
    cpdef bytes said(self, RequestHead head)
    @cython.locals(address=bytes, found=bytes)
    cpdef bytes of(self, str text)
