cimport cython

from .report cimport LoadReport

cdef int SHORT, BLANK, COMMA, POINT, ZERO, NINE, COLON, EQUALS, MOST_NAMED


cpdef LoadReport parse_header(bytes value)


cpdef LoadReport parse_binary(bytes value)


@cython.locals(report=LoadReport, end=Py_ssize_t, start=Py_ssize_t, mark=Py_ssize_t)
cdef LoadReport from_text(bytes text, Py_ssize_t at)


cdef str word(bytes text, Py_ssize_t start, Py_ssize_t end)


@cython.locals(at=Py_ssize_t, digits=cython.longlong, divisor=cython.longlong, exact=bint, byte=cython.uchar)
cdef double decimal(bytes text, Py_ssize_t start, Py_ssize_t end) except? -1.0


cdef double number(str text) except? -1.0


cdef double once(double before, double value) except -1.0


cdef int put(LoadReport report, str name, double value) except -1
