cimport cython

from ..balancing.base cimport Balancer, Done
from ..exchange cimport Client, Exchange
from ..metrics cimport Counters
from ..upstream.backend cimport Backend
from ..upstream.group cimport Group

cdef Done DONE
cdef int ANSWERED, CANCELLED, FAILED, SAMPLE, IN_FLIGHT, MICROSECONDS, U_ACTIVE, U_PANICKED, U_STATUSES


cpdef answer(Exchange x, reason)


@cython.locals(client=Client)
cpdef refuse(Exchange x, reason, str lines)


@cython.locals(client=Client)
cpdef settle_keep(Exchange x)


@cython.locals(backend=Backend, balancer=Balancer, done=Done)
cpdef drop_backend(Exchange x, double now, int outcome)


cpdef bint judged(Exchange x)


cpdef int outcome_of(Exchange x)


cpdef sample(Exchange x, double now)


@cython.locals(client=Client, now=double, counters=Counters)
cpdef finish(Exchange x)


@cython.locals(group=Group, headed=double)
cpdef leave_group(Exchange x, double now)
