cimport cython


cdef class Timed:
    cdef public double deadline
    cpdef expire(self, double now)


cdef class Sweep:
    cdef public set watched
    cdef public double now
    @cython.locals(timed=Timed, late=list)
    cpdef run(self, double now)
