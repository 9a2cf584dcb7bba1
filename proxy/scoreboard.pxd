cdef class Scoreboard:
    cdef public int slots, slot, used, fd
    cdef public object cells, backends, upstreams
    cdef long long _backends, _upstreams, _buckets, _sessions
