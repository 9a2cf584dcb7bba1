cdef class LoadReport:
    cdef public double cpu, memory, application, rps, eps, cost, in_flight, latency
    cdef public dict named
