cimport cython

from .backend cimport Backend
from .ports cimport Requester
from .overload cimport Overload
from .picker cimport Picker
from .queue cimport Queue
from .stats cimport UpstreamStats

cdef int U_QUEUED, U_QUEUE_LENGTH, U_QUEUE_REFUSED, U_QUEUE_EXPIRED


cdef class Queues:
    cdef public UpstreamStats stats
    cdef public Overload overload
    cdef public list pickers
    cdef public long long waiting
    cdef public int next_queue
    cdef public bint waking
    cdef public double timeout

    cpdef enqueue(self, Requester requester, Picker picker, int priority, double since, double now)
    cpdef leave(self, Requester requester, Picker picker)
    cpdef wake(self)
    cdef _add(self, long long more)
    @cython.locals(requester=Requester, queue=Queue, passed=cython.int)
    cdef _wake(self, Picker picker)
    @cython.locals(backend=Backend)
    cdef bint _has_room_in(self, Picker picker) except -1
