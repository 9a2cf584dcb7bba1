cimport cython

from ...exchange cimport Attempt, Exchange, ResponseStage
from ...http1.codec cimport ResponseHead
from ...upstream.group cimport Group
from ...upstream.load.orca cimport parse_binary, parse_header
from ...upstream.load.report cimport LoadReport

cdef int U_REPORTS_REFUSED


cdef class ReadReports(ResponseStage):
    cdef public bint metrics, binary, timing

    @cython.locals(attempt=Attempt, group=Group, report=LoadReport)
    cpdef head(self, Exchange x, ResponseHead head, Py_ssize_t body_end, bint complete)
    @cython.locals(value=bytes, report=LoadReport)
    cpdef LoadReport read(self, Exchange x, ResponseHead head)


@cython.locals(cost=double)
cpdef LoadReport with_cost(LoadReport report, ResponseHead head)
