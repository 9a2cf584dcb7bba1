cimport cython

from ...upstream.backend cimport Backend
from ...upstream.load.report cimport LoadReport
from ...balancing.base cimport Balancer, Done


cdef class Marks:
    cdef public object spec
    cdef public str key
    @cython.locals(found=tuple)
    cpdef tuple every(self, Backend backend)
    cpdef bytes of(self, Backend backend)


cdef class Sticky(Balancer):
    cdef public Balancer main
    cdef public Marks marks
    cdef public bint draining
    cdef public dict usable, leaving
    cdef public long long now_ns

    @cython.locals(end=Py_ssize_t, backend=Backend)
    cpdef Backend pick(self, bytes key)
    cpdef Backend target(self, bytes mark)
    cpdef assigned(self, Backend backend)
    cpdef released(self, Backend backend, Done done)
    cpdef reported(self, Backend backend, LoadReport report, double now)


@cython.locals(end=Py_ssize_t)
cpdef bytes behind_mark(bytes key)


cpdef bytes packed(bytes mark, bytes key)


cpdef long long row_of(Backend backend, str upstream) except? -1
