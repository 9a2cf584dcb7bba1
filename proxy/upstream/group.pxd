cimport cython

from ..metrics cimport Histogram
from ..scoreboard cimport Scoreboard
from .backend cimport Backend
from .breaker cimport Breaker
from .ports cimport Requester
from .load.report cimport LoadReport
from .picker cimport Picker
from .queue cimport Queue

cdef int IN_FLIGHT, UPSTREAM_ROW, U_ACTIVE, U_QUEUED, U_QUEUE_LENGTH, U_QUEUE_REFUSED, U_QUEUE_EXPIRED, U_REPORTS


cdef class Group(Picker):
    cdef public Scoreboard board
    cdef public object spec
    cdef public tuple members
    cdef public list pickers
    cdef public dict subsets
    cdef public frozenset wanted
    cdef public long long waiting
    cdef public int turn
    cdef public double due
    cdef public double tokens, per_request
    cdef public long long most, most_per_backend, most_here, ceiling
    cdef public Breaker breaker
    cdef public object gradient, hedger, reports
    cdef public bint waking, shared
    cdef public long long[::1] rows, all_rows
    cdef public Histogram pick_seconds, connect_seconds, send_seconds, relay_seconds, finish_seconds

    cpdef count(self, int cell)
    @cython.locals(total=cython.longlong, at=Py_ssize_t, end=Py_ssize_t)
    cpdef long long load(self, int cell)
    cpdef failed(self, Backend backend, bint connect, bint gateway)
    cpdef heard(self, Backend backend, LoadReport report, double now)
    @cython.locals(picker=Picker)
    cpdef reported(self, Backend backend, LoadReport report, double now)
    cpdef bint may_retry(self)
    cpdef bint below_limit(self, Backend backend) except -1
    cpdef bint has_room(self, long long more) except -1
    cpdef wake(self)
    cpdef enqueue(self, Requester requester, Picker picker, int priority, double since, double now)
    cdef bint _some_room(self, Picker picker) except -1
    cdef _wait(self, long long more)
    @cython.locals(requester=Requester, queue=Queue, passed=cython.int)
    cdef _wake(self, Picker picker)
