cdef class Backend:
    cdef public object spec, pool
    cdef public str name
    cdef public int weight
    cdef public long long in_flight, requests, failures
