cimport cython


cdef class Database:
    cdef public object reader, locations
    cdef public list field
    cdef public dict values, young, old

    @cython.locals(found=bytes, wide=bytes)
    cpdef bytes find(self, str text, bytes address)
    cpdef bytes _remembered(self, bytes network)
    cpdef _remember(self, bytes network, bytes name)
