# Types of the codec, for the compiled modules that call it without going through Python.

ctypedef unsigned long long Mask

cdef struct Field:
    int name            # offset of the name, which is the start of its line
    int name_len
    int value           # offset of the value, white space around it left out
    int value_len
    unsigned char id    # one of the known headers, or 0
    unsigned char named # named by Connection: belongs to the connection, not to the message


cdef class HeaderEdits:
    cdef readonly tuple names, fields
    cdef readonly bytes lines
    cdef readonly Mask mask

    cpdef HeaderEdits plus(self, tuple fields, bytes dropped=*)
    cdef bytes without(self, bytes block)


cdef class Head:
    cdef readonly bytes data
    cdef const unsigned char* p
    cdef readonly Py_ssize_t start, end
    cdef Field* fields
    cdef int capacity
    cdef readonly int count, minor
    cdef public int max_size, max_count
    cdef readonly long long content_length
    cdef readonly bint chunked, close, keep_alive, upgrade
    cdef int named_options
    cdef Mask present
    cdef int at[64]

    cdef int _reserve(self) except -1
    cdef Py_ssize_t _scan_fields(self, Py_ssize_t i, Py_ssize_t n) noexcept
    cdef int _check_fields(self) noexcept
    cdef int _read_connection(self, int index) noexcept
    cdef void _mark_named(self) noexcept
    cdef bint _spaced_plainly(self, int index) noexcept
    cdef int _forget(self) except -1
    cdef Py_ssize_t _kept(self, Mask drop, HeaderEdits edits) noexcept
    cdef unsigned char* _copy_kept(self, unsigned char* out, Mask drop, HeaderEdits edits) noexcept
    cdef bint _edited(self, int index, HeaderEdits edits) noexcept
    cpdef bint has(self, int known)
    cpdef bytes value(self, int known)
    cpdef bytes get(self, bytes name)
    cpdef list get_all(self, bytes name)
    cpdef release(self)


cdef class RequestHead(Head):
    cdef public int max_target
    cdef readonly bytes method, path, host
    cdef readonly bytes authority
    cdef readonly bint rewritten, idempotent, is_head
    cdef int target, target_len, query
    cdef int host_value, host_len
    cdef unsigned char request_id_hex[32]
    cdef bint request_id_made

    cpdef Py_ssize_t parse(self, bytes data, Py_ssize_t start) except -1
    cdef Py_ssize_t _parse(self, Py_ssize_t i, Py_ssize_t n) except? -99
    cdef int _read_target(self) except -99
    cdef int _read_host(self) noexcept
    cpdef bytes forward(self, bytes path, bytes block, Mask drop, bint forwarded_host, bint upgrade, HeaderEdits edits)
    cpdef bytes raw_target(self)
    cpdef bytes query_string(self)
    cpdef bytes request_id(self)
    cpdef bytes host_header(self)


cdef class ResponseHead(Head):
    cdef readonly int status
    cdef int reason, reason_len
    cdef bint exact
    cpdef Py_ssize_t parse(self, bytes data, Py_ssize_t start) except -1
    cdef Py_ssize_t _parse(self, Py_ssize_t i, Py_ssize_t n) noexcept
    cpdef bint clean(self, Mask drop)
    cpdef bytes forward(self, bytes block, Mask drop, HeaderEdits edits, Py_ssize_t tail)


cdef class HeadBuffer:
    cdef bytearray held
    cdef Py_ssize_t scanned, line
    cdef public Py_ssize_t limit
    cpdef bytes feed(self, bytes data)


cdef class ChunkedDecoder:
    cdef int state, digits
    cdef unsigned long long left
    cdef bint decode, response
    cdef bytearray line
    cdef readonly bint done
    cdef readonly Py_ssize_t end
    cdef readonly long long total
    cdef readonly tuple trailers
    cdef Py_ssize_t spent, limit
    cpdef object feed(self, bytes data, Py_ssize_t start)
    cdef int _refuse(self, object reason) except -1
    cdef _end_extension(self)
    cdef bytes _end_trailers(self)


cpdef bint matches_at(bytes text, Py_ssize_t at, bytes part)
cpdef bytes new_id()
