cimport cython

from ..exchange cimport Attempt, ClientStream, Exchange
from ..metrics cimport Counters
from ..upstream.group cimport Group
from ..upstream.stats cimport UpstreamStats
from .attempt cimport cancel, drop

cdef int ANSWERED, CANCELLED, FAILED, SAMPLE, U_ACTIVE, U_PANICKED, U_STATUSES


cpdef local_error(Exchange x, reason, tuple fields=*)


@cython.locals(client=ClientStream)
cpdef local_reply(Exchange x, reply, bint close=*)


cpdef bint judged(Exchange x)


cpdef int outcome_of(Exchange x)


cpdef sample(Exchange x, double now)


@cython.locals(client=ClientStream, now=double, counters=Counters, duration=cython.int)
cpdef finish(Exchange x)


@cython.locals(group=Group, stats=UpstreamStats, attempt=Attempt, picked=double, connected_at=double, head_at=double,
               relayed=cython.int)
cpdef leave_group(Exchange x, double now, int duration)
