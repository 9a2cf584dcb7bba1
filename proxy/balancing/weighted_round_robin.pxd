from .round_robin cimport RoundRobin


cdef class WeightedRoundRobin(RoundRobin):
    pass
