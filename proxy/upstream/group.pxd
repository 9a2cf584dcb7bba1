cimport cython

from ..scoreboard cimport Scoreboard
from .backend cimport Backend
from .load.report cimport LoadReport
from .overload cimport Overload
from .picker cimport Picker
from .queues cimport Queues
from .retry_budget cimport RetryBudget
from .stats cimport UpstreamStats

cdef int U_REPORTS


cdef class Group(Picker):
    cdef public Scoreboard board
    cdef public object spec, members, passive_health, hedger, reports
    cdef public list pickers
    cdef public dict subsets
    cdef public frozenset wanted
    cdef public UpstreamStats stats
    cdef public Overload overload
    cdef public Queues queues
    cdef public RetryBudget retry_budget

    cpdef heard(self, Backend backend, LoadReport report, double now)
    @cython.locals(picker=Picker)
    cpdef reported(self, Backend backend, LoadReport report, double now)
