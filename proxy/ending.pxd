cimport cython

from .balancing.base cimport Balancer
from .exchange cimport Client, Exchange
from .upstream.backend cimport Backend
from .upstream.group cimport Group

cdef int IN_FLIGHT, MICROSECONDS, U_ACTIVE, U_PANICKED, U_STATUSES


cpdef answer(Exchange x, reason)


@cython.locals(client=Client)
cpdef refuse(Exchange x, reason, str lines)


@cython.locals(client=Client)
cpdef settle_keep(Exchange x)


@cython.locals(backend=Backend, balancer=Balancer)
cpdef drop_backend(Exchange x, double now)


cpdef bint judged(Exchange x)


@cython.locals(client=Client, now=double)
cpdef finish(Exchange x)


@cython.locals(group=Group)
cpdef leave_group(Exchange x, double now)
