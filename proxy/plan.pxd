from .http1.codec cimport HeaderEdits
from .routing cimport RouteTable


cdef class RoutePlan:
    cdef public str name, upstream
    cdef public object first, pick, send, back, upgrades
    cdef public HeaderEdits request_edits, response_edits
    cdef public bytes strip, prefix
    cdef public bint raw_path, rewrites
    cdef public long long body_size
    cdef public double body_idle, response_head, response_idle, request_timeout, tunnel_idle


cdef class Plan:
    cdef public tuple listeners
    cdef public object settings, access_log, registry, shed, tracing
    cdef public dict groups, specs, balancers, subsets
    cdef public RouteTable routes
