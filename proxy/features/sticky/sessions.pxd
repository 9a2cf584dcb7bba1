cimport cython

cdef long long TAG, ROW, SECOND, ROW_MASK, SECOND_MASK
cdef int FRESH


cdef class Sessions:
    cdef public long long[::1] cells
    cdef public long long sets, ttl
    cdef public bytes salt
    @cython.locals(at=Py_ssize_t, second=cython.longlong, cell=cython.longlong)
    cpdef long long find(self, bytes session, double now) except? -1
    @cython.locals(first=cython.longlong, tag=cython.longlong, at=Py_ssize_t, cell=cython.longlong)
    cdef Py_ssize_t _at(self, bytes session, long long second) except? -1
    @cython.locals(first=cython.longlong, tag=cython.longlong, at=Py_ssize_t, second=cython.longlong, cell=cython.longlong, age=cython.longlong,
                   chosen=Py_ssize_t, oldest=cython.longlong, wanted=cython.longlong)
    cpdef keep(self, bytes session, long long row, double now)
    @cython.locals(age=cython.longlong)
    cdef long long _age(self, long long cell, long long second) except -1
    @cython.locals(number=cython.ulonglong)
    cdef tuple _place(self, bytes session)
