cimport cython

from .atomic cimport AtomicCells

cdef int _WAYS, _MOST_RACES
cdef long long _POSITIVE


cdef class Buckets:
    cdef public AtomicCells cells
    cdef public long long sets, forgiven
    @cython.locals(cells=AtomicCells, place=cython.longlong, before=cython.longlong, after=cython.longlong)
    cpdef long long take(self, long long key, long long now, long long interval, long long depth) except? -1
    @cython.locals(cells=AtomicCells, start=cython.longlong, place=cython.longlong)
    cpdef long long found(self, long long key) except? -2
    @cython.locals(cells=AtomicCells, start=cython.longlong, place=cython.longlong, other=cython.longlong,
                   least=cython.longlong, full=cython.longlong)
    cpdef long long place(self, long long key, long long now) except? -2
