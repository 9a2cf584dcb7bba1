cimport cython

from .balancing.base cimport Balancer
from .exchange cimport Client, Exchange
from .metrics cimport Counters
from .upstream.backend cimport Backend


cpdef answer(Exchange x, reason)


@cython.locals(client=Client)
cpdef settle_keep(Exchange x)


@cython.locals(backend=Backend, balancer=Balancer)
cpdef drop_backend(Exchange x, double now)


@cython.locals(client=Client, now=double, counters=Counters)
cpdef finish(Exchange x)
