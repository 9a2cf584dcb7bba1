cimport cython

from .codec cimport ChunkedDecoder


cdef class BodyReader:
    cdef public long long left, total
    cdef public ChunkedDecoder decoder
    cdef public bint done
    cdef public Py_ssize_t end
    cdef public tuple trailers

    cpdef begin_length(self, long long length)
    cpdef begin_chunks(self, bint decode, bint response, Py_ssize_t limit)
    @cython.locals(decoder=ChunkedDecoder, size=Py_ssize_t, take=Py_ssize_t)
    cpdef feed(self, bytes data, Py_ssize_t start)
