from .exchange cimport Exchange


cdef class RequestKey:
    cdef public tuple parts
    cpdef of(self, Exchange x)


cpdef bytes client_of(Exchange x)
