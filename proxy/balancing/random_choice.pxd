from ..upstream.backend cimport Backend
from .base cimport Balancer
from .structures.alias_table cimport Draws


cdef class RandomChoice(Balancer):
    cdef public Draws draws
    cdef public list backends

    cpdef Backend pick(self, bytes key)
