cimport cython

from ...exchange cimport Exchange, ReturnStage
from ...http1.codec cimport ResponseHead
from ...upstream.group cimport Group
from ...upstream.load.report cimport LoadReport
from ...upstream.load.orca cimport parse_binary, parse_header

cdef int U_REPORTS_REFUSED


cdef class ReportedRelay(ReturnStage):
    cdef public Group group
    cdef public ReturnStage following
    cdef public bint metrics, binary, timing

    @cython.locals(value=bytes, report=LoadReport)
    cpdef LoadReport listen(self, ResponseHead head)


@cython.locals(cost=double)
cpdef LoadReport with_cost(LoadReport report, ResponseHead head)
