cimport cython

from ...upstream.backend cimport Backend
from ...upstream.load.report cimport LoadReport
from ...balancing.base cimport Balancer, Done


cdef class Tokens:
    cdef public object spec
    cdef public str key
    @cython.locals(found=tuple)
    cpdef tuple accepted(self, Backend backend)
    cpdef bytes of(self, Backend backend)


cdef class Sticky(Balancer):
    cdef public Balancer main
    cdef public Tokens tokens
    cdef public bint draining
    cdef public dict usable, leaving
    cdef public long long now_ns

    @cython.locals(end=Py_ssize_t, backend=Backend)
    cpdef Backend pick(self, bytes key)
    cpdef Backend target(self, bytes token)
    cpdef assigned(self, Backend backend)
    cpdef released(self, Backend backend, Done done)
    cpdef reported(self, Backend backend, LoadReport report, double now)


@cython.locals(end=Py_ssize_t)
cpdef bytes inner_key(bytes key)


cpdef bytes packed(bytes token, bytes key)


cpdef long long row_of(Backend backend, str upstream) except? -1
