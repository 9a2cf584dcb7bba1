cimport cython


cdef class Database:
    cdef public object reader, locations
    cdef public list field
    cdef public dict values, young, old
    cdef public str path
    cdef public bint complained

    @cython.locals(found=bytes, wide=bytes)
    cpdef bytes find(self, str text, bytes address)
    cpdef bytes _remembered(self, bytes network)
    cpdef tuple _asked(self, str text)
    cpdef _remember(self, bytes network, bytes name)
