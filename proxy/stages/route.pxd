cimport cython

from ..exchange cimport ClientStream, Exchange, Stage
from ..plan cimport Plan, RoutePlan
from .finish cimport local_error, local_reply


@cython.locals(plan=Plan, client=ClientStream, route=RoutePlan, first=Stage)
cpdef start(Exchange x)


cdef class Fixed(Stage):
    cdef public object reply


cdef class Redirect(Stage):
    cdef public object reason
    cdef public str to
    cdef public tuple status
