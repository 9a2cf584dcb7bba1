from ..upstream.backend cimport Backend
from .base cimport Balancer
from .structures.alias_table cimport AliasTable


cdef class RandomChoice(Balancer):
    cdef public AliasTable draws
    cdef public list backends

    cpdef Backend pick(self, bytes key)
