cimport cython

from ..balancing.base cimport Balancer, Done
from ..exchange cimport Attempt, Exchange
from ..plan cimport RoutePlan
from ..upstream.backend cimport Backend
from ..upstream.load.report cimport LoadReport
from ..upstream.pool cimport Pool
from ..upstream.ports cimport UpstreamStream

cdef Done DONE
cdef int FAILURES, GATEWAY_ERRORS, IN_FLIGHT, MICROSECONDS, REQUESTS, RESPONSES, SERVER_ERRORS


@cython.locals(route=RoutePlan)
cpdef Attempt next_attempt(Exchange x)


cpdef begin(Exchange x, Attempt attempt, Backend backend, Balancer balancer, double now)


@cython.locals(backend=Backend, pool=Pool)
cpdef wait_for_connection(Attempt attempt, bint fresh)


@cython.locals(backend=Backend, gateway=bint)
cpdef judge(Exchange x, Attempt attempt, int status)


cpdef judge_failure(Exchange x, Attempt attempt, bint connect)


@cython.locals(backend=Backend, balancer=Balancer, done=Done, report=LoadReport)
cpdef drop(Exchange x, Attempt attempt, double now, int outcome)


@cython.locals(upstream=UpstreamStream)
cpdef cancel(Attempt attempt)
