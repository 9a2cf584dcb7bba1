"""The wire codec: bytes to heads and heads to bytes, for HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112).

Law of this file: it scans and copies bytes, independent of asyncio, sockets and the configuration.
A head is parsed once, in one pass, into a table of offsets over the received bytes; forwarding copies runs of
header lines from those bytes into one new bytes object of exactly the right size. A head is complete, incomplete, or
raises `ProtocolError`; nothing is repaired. It is written in Cython alone, as the two other modules that work on single
bytes and words (limits/atomic.pyx, sharding/tables.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc, realloc
from libc.limits cimport INT_MAX
from libc.string cimport memcmp, memcpy

import os
import re

from ..errors import (
    BAD_CHUNK, BAD_CONTENT_LENGTH, BAD_HEADER_NAME, BAD_HEADER_VALUE, BAD_HOST, BAD_LINE_END, BAD_METHOD,
    BAD_REQUEST_LINE, BAD_RESPONSE_CHUNK, BAD_RESPONSE_CODING, BAD_RESPONSE_FRAMING, BAD_RESPONSE_HEADER,
    BAD_RESPONSE_LENGTH, BAD_STATUS_LINE, BAD_TARGET, BAD_TRAILER, BAD_TRANSFER_ENCODING, BAD_VERSION,
    CODING_IN_HTTP10, HEAD_TOO_LARGE, LENGTH_AND_CODING, METHOD_REFUSED, OBS_FOLD, RESPONSE_HEAD_TOO_LARGE,
    TARGET_TOO_LONG, TOO_MANY_HEADERS, UNKNOWN_CODING, ProtocolError,
)

cdef extern from "arpa/inet.h" nogil:
    int inet_pton(int family, const char* text, void* address)

cdef extern from "sys/socket.h" nogil:
    enum:
        AF_INET6

cdef extern from *:
    """
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif
    /* Offset of the first byte at or after i that may not stand in a field value: a control byte other
       than HTAB, or DEL (RFC 9110 5.5). Sixteen bytes at a time where the machine can. */
    static inline Py_ssize_t qt_scan_value(const unsigned char *p, Py_ssize_t i, Py_ssize_t n) {
    #if defined(__SSE2__)
        const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8(9), del = _mm_set1_epi8(0x7f);
        while (i + 16 <= n) {
            __m128i x = _mm_loadu_si128((const __m128i *)(p + i));
            __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, low), x);
            control = _mm_andnot_si128(_mm_cmpeq_epi8(x, tab), control);
            int hit = _mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(x, del)));
            if (hit) return i + __builtin_ctz(hit);
            i += 16;
        }
    #endif
        while (i < n && ((p[i] >= 0x20 && p[i] != 0x7f) || p[i] == 9)) i++;
        return i;
    }
    """
    Py_ssize_t qt_scan_value(const unsigned char* p, Py_ssize_t i, Py_ssize_t n) noexcept nogil


# --- Known headers -----------------------------------------------------------------------------------------------

cdef enum:
    OTHER = 0
    H_HOST
    H_CONTENT_LENGTH
    H_TRANSFER_ENCODING
    H_CONNECTION
    H_KEEP_ALIVE
    H_PROXY_CONNECTION
    H_PROXY_AUTHENTICATE
    H_PROXY_AUTHORIZATION
    H_PROXY
    H_TE
    H_TRAILER
    H_UPGRADE
    H_EXPECT
    H_X_FORWARDED_FOR
    H_X_FORWARDED_PROTO
    H_X_FORWARDED_HOST
    H_X_FORWARDED_PORT
    H_X_REAL_IP
    H_FORWARDED
    H_VIA
    H_X_REQUEST_ID
    H_MAX_FORWARDS
    H_ACCEPT
    H_USER_AGENT
    H_REFERER
    KNOWN_END

KNOWN_HEADERS = (
    b"", b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection",
    b"proxy-authenticate", b"proxy-authorization", b"proxy", b"te", b"trailer", b"upgrade", b"expect",
    b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip",
    b"forwarded", b"via", b"x-request-id", b"max-forwards", b"accept", b"user-agent", b"referer",
)
assert len(KNOWN_HEADERS) == KNOWN_END

HOST = H_HOST
CONTENT_LENGTH = H_CONTENT_LENGTH
TRANSFER_ENCODING = H_TRANSFER_ENCODING
UPGRADE = H_UPGRADE
EXPECT = H_EXPECT
X_FORWARDED_FOR = H_X_FORWARDED_FOR
X_FORWARDED_PROTO = H_X_FORWARDED_PROTO
X_FORWARDED_HOST = H_X_FORWARDED_HOST
X_FORWARDED_PORT = H_X_FORWARDED_PORT
X_REAL_IP = H_X_REAL_IP
FORWARDED = H_FORWARDED
VIA = H_VIA
X_REQUEST_ID = H_X_REQUEST_ID
MAX_FORWARDS = H_MAX_FORWARDS
ACCEPT = H_ACCEPT
USER_AGENT = H_USER_AGENT
REFERER = H_REFERER


cdef inline Mask bit(int known) noexcept nogil:
    return (<Mask>1) << known


def mask_of(*known: int) -> int:
    """The bit mask for these known headers, as `forward` takes it."""
    return sum({1 << number for number in known})


def known_header(bytes name not None) -> int:
    """The number of a known header, 0 for any other. `name` in any case."""
    lower = name.lower()
    return KNOWN_HEADERS.index(lower) if lower in KNOWN_HEADERS else 0


# RFC 9110 7.6.1, and "Proxy", which CGI would turn into HTTP_PROXY (CVE-2016-5385)
cdef Mask HOP_BY_HOP_BITS = (
    bit(H_CONNECTION) | bit(H_KEEP_ALIVE) | bit(H_PROXY_CONNECTION) | bit(H_PROXY_AUTHENTICATE)
    | bit(H_PROXY_AUTHORIZATION) | bit(H_TE) | bit(H_UPGRADE) | bit(H_PROXY)
)
# What Connection may name without effect: framing, routing, what the proxy itself answers for, and the hop-by-hop
# ones, which are dropped by `drop` alone (an Upgrade that is let through is named by Connection as well)
cdef Mask NOT_NAMEABLE = (
    bit(H_HOST) | bit(H_CONTENT_LENGTH) | bit(H_TRANSFER_ENCODING) | bit(H_TRAILER) | bit(H_EXPECT) | bit(H_VIA)
    | bit(H_X_FORWARDED_FOR) | bit(H_X_FORWARDED_PROTO) | bit(H_X_FORWARDED_HOST) | bit(H_X_FORWARDED_PORT)
    | bit(H_X_REAL_IP) | bit(H_FORWARDED) | bit(H_MAX_FORWARDS) | bit(H_X_REQUEST_ID) | HOP_BY_HOP_BITS
)
# Headers of which a second line makes the message ambiguous
cdef Mask ONCE = bit(H_HOST) | bit(H_CONTENT_LENGTH) | bit(H_TRANSFER_ENCODING)

# What the proxy adds to requests by itself
cdef Mask ADDED_BITS = (
    bit(H_HOST) | bit(H_X_FORWARDED_FOR) | bit(H_X_FORWARDED_PROTO) | bit(H_X_FORWARDED_HOST) | bit(H_FORWARDED) | bit(H_VIA)
    | bit(H_X_REQUEST_ID)
)

HOP_BY_HOP = HOP_BY_HOP_BITS


# --- Byte classes ------------------------------------------------------------------------------------------------

cdef unsigned char TOKEN[256]     # RFC 9110 5.6.2 tchar
cdef unsigned char TARGET[256]    # bytes of a request target: visible ASCII without " < > # \
cdef unsigned char HOSTNAME[256]  # bytes of a host name: unreserved and sub-delims without the comma
cdef unsigned char UNRESERVED[256]
cdef unsigned char ID_BYTE[256]   # bytes of an X-Request-ID that is kept
cdef unsigned char LOWER[256]
cdef signed char HEX[256]


def _fill_tables():
    cdef int c
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    tokens = letters + b"!#$%&'*+-.^_`|~"
    hosts = letters + b"-._~!$&'()*+;="
    for c in range(256):
        TOKEN[c] = c in tokens
        TARGET[c] = 0x21 <= c <= 0x7E and c not in b'"<>#\\'
        HOSTNAME[c] = c in hosts
        UNRESERVED[c] = c in letters + b"-._~"
        ID_BYTE[c] = c in letters + b"-._~+/=:@"
        LOWER[c] = c + 32 if 65 <= c <= 90 else c
        HEX[c] = int(chr(c), 16) if c in b"0123456789abcdefABCDEF" else -1


_fill_tables()


cdef inline bint same(const unsigned char* p, const char* lower, int n) noexcept nogil:
    """Whether n bytes at p are `lower` in any case. Valid for token bytes."""
    cdef int i
    for i in range(n):
        if (p[i] | 0x20) != <unsigned char>lower[i]:
            return False
    return True


cdef inline bint alike(const unsigned char* p, const char* lower, int n) noexcept nogil:
    """As `same`, with an underscore equal to a hyphen: CGI and WSGI map both to the same name, so a header that backends
    trust must be matched in both forms."""
    cdef int i
    for i in range(n):
        if (p[i] | 0x20) != <unsigned char>lower[i] and not (p[i] == c"_" and lower[i] == c"-"):
            return False
    return True


cdef int identify(const unsigned char* p, int n) noexcept nogil:
    if n == 2:
        if same(p, b"te", 2): return H_TE
    elif n == 3:
        if same(p, b"via", 3): return H_VIA
    elif n == 4:
        if same(p, b"host", 4): return H_HOST
    elif n == 5:
        if same(p, b"proxy", 5): return H_PROXY
    elif n == 6:
        if same(p, b"accept", 6): return H_ACCEPT
        if same(p, b"expect", 6): return H_EXPECT
    elif n == 7:
        if same(p, b"upgrade", 7): return H_UPGRADE
        if same(p, b"trailer", 7): return H_TRAILER
        if same(p, b"referer", 7): return H_REFERER
    elif n == 9:
        if alike(p, b"x-real-ip", 9): return H_X_REAL_IP
        if same(p, b"forwarded", 9): return H_FORWARDED
    elif n == 10:
        if same(p, b"connection", 10): return H_CONNECTION
        if same(p, b"user-agent", 10): return H_USER_AGENT
        if same(p, b"keep-alive", 10): return H_KEEP_ALIVE
    elif n == 12:
        if alike(p, b"x-request-id", 12): return H_X_REQUEST_ID
        if same(p, b"max-forwards", 12): return H_MAX_FORWARDS
    elif n == 14:
        if same(p, b"content-length", 14): return H_CONTENT_LENGTH
    elif n == 15:
        if alike(p, b"x-forwarded-for", 15): return H_X_FORWARDED_FOR
    elif n == 16:
        if alike(p, b"x-forwarded-host", 16): return H_X_FORWARDED_HOST
        if alike(p, b"x-forwarded-port", 16): return H_X_FORWARDED_PORT
        if same(p, b"proxy-connection", 16): return H_PROXY_CONNECTION
    elif n == 17:
        if same(p, b"transfer-encoding", 17): return H_TRANSFER_ENCODING
        if alike(p, b"x-forwarded-proto", 17): return H_X_FORWARDED_PROTO
    elif n == 18:
        if same(p, b"proxy-authenticate", 18): return H_PROXY_AUTHENTICATE
    elif n == 19:
        if same(p, b"proxy-authorization", 19): return H_PROXY_AUTHORIZATION
    return OTHER


# --- What can be wrong: one code for both directions, a reason for each -----------------------------------------------

cdef enum:
    E_LINE_END = -1
    E_NAME = -2
    E_VALUE = -3
    E_FOLD = -4
    E_COUNT = -5
    E_SIZE = -6
    E_LENGTH = -7
    E_CODING = -8
    E_UNKNOWN_CODING = -9
    E_BOTH = -10
    E_CODING_10 = -11
    E_HOST = -12
    E_START_LINE = -13
    E_METHOD = -14
    E_TARGET = -15
    E_TARGET_SIZE = -16
    E_VERSION = -17
    E_REFUSED = -18

REQUEST_REASONS = {
    E_LINE_END: BAD_LINE_END, E_NAME: BAD_HEADER_NAME, E_VALUE: BAD_HEADER_VALUE, E_FOLD: OBS_FOLD,
    E_COUNT: TOO_MANY_HEADERS, E_SIZE: HEAD_TOO_LARGE, E_LENGTH: BAD_CONTENT_LENGTH,
    E_CODING: BAD_TRANSFER_ENCODING, E_UNKNOWN_CODING: UNKNOWN_CODING, E_BOTH: LENGTH_AND_CODING,
    E_CODING_10: CODING_IN_HTTP10, E_HOST: BAD_HOST, E_START_LINE: BAD_REQUEST_LINE, E_METHOD: BAD_METHOD,
    E_TARGET: BAD_TARGET, E_TARGET_SIZE: TARGET_TOO_LONG, E_VERSION: BAD_VERSION, E_REFUSED: METHOD_REFUSED,
}
RESPONSE_REASONS = {
    E_LINE_END: BAD_RESPONSE_HEADER, E_NAME: BAD_RESPONSE_HEADER, E_VALUE: BAD_RESPONSE_HEADER,
    E_FOLD: BAD_RESPONSE_HEADER, E_COUNT: RESPONSE_HEAD_TOO_LARGE, E_SIZE: RESPONSE_HEAD_TOO_LARGE,
    E_LENGTH: BAD_RESPONSE_LENGTH, E_CODING: BAD_RESPONSE_CODING, E_UNKNOWN_CODING: BAD_RESPONSE_CODING,
    E_BOTH: BAD_RESPONSE_FRAMING, E_CODING_10: BAD_RESPONSE_CODING, E_HOST: BAD_RESPONSE_HEADER,
    E_START_LINE: BAD_STATUS_LINE,
}


cdef class HeaderEdits:
    """Changes to the headers of one direction, compiled once per route.

    `set` replaces every line of that name, `append` adds a line, `remove` drops every line of that name.
    Names and values are bytes that the configuration has already checked.
    """

    def __init__(self, set: dict | None = None, append: dict | None = None, remove: list | None = None) -> None:
        dropped = [name.lower() for name in [*(set or {}), *(remove or [])]]
        self.mask = mask_of(*[number for number in map(known_header, dropped) if number])
        self.names = tuple(name for name in dropped if not known_header(name))
        self.fields = (*(set or {}).items(), *(append or {}).items())
        self.lines = b"".join([b"%s: %s\r\n" % pair for pair in self.fields])

    cpdef HeaderEdits plus(self, tuple fields, bytes dropped=None):
        """These changes and `fields`; every field `dropped` (lower case, no known header) is dropped."""
        cdef HeaderEdits more = HeaderEdits.__new__(HeaderEdits)
        more.mask, more.names = self.mask, self.names if dropped is None else (*self.names, dropped)
        more.fields, more.lines = self.fields + fields, self.lines
        for name, value in fields:
            more.lines = b"".join((more.lines, name, b": ", value, b"\r\n"))
        return more

    cdef bytes without(self, bytes block):
        """`block`, header lines, without those that are set or removed."""
        lines = block.splitlines(keepends=True)
        return b"".join([line for line in lines if not self.mask >> known_header(line.partition(b":")[0]) & 1])


cdef class Head:
    """The base of request and response heads: header lines as a table of offsets, and their framing.

    `max_size` (bytes) and `max_count` (lines) bound a head. After `parse`: `end` is the offset of the first byte after
    the head, `content_length` is -1 if absent, `chunked` is true for a chunked body, `close`/`keep_alive`/`upgrade`
    are true if Connection names them.
    """

    def __cinit__(self):
        self.capacity = 24
        self.max_size = 32768
        self.max_count = 100
        self.fields = <Field*>malloc(self.capacity * sizeof(Field))
        if self.fields is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.fields)

    cdef int _reserve(self) except -1:
        cdef int more = self.capacity * 2
        cdef Field* fields = <Field*>realloc(self.fields, more * sizeof(Field))
        if fields is NULL:
            raise MemoryError
        self.fields = fields
        self.capacity = more
        return 0

    cdef Py_ssize_t _scan_fields(self, Py_ssize_t i, Py_ssize_t n) noexcept:
        """Scan header lines from i. Returns the end of the head, 0 for more, or what is wrong (< 0)."""
        cdef const unsigned char* p = self.p
        cdef Py_ssize_t line, value, stop
        cdef int count = 0, known, code
        cdef Field* field
        self.count = 0
        self.present = 0
        self.content_length = -1
        self.chunked = self.close = self.keep_alive = self.upgrade = False
        self.named_options = 0
        while True:
            if i >= n:
                return 0
            if p[i] == c"\r":
                if i + 1 >= n:
                    return 0
                if p[i + 1] != c"\n":
                    return E_LINE_END
                self.count = count
                return i + 2
            line = i
            while TOKEN[p[i]]:  # stops at the NUL behind every bytes object
                i += 1
            if i >= n:
                return 0
            if p[i] != c":" or i == line:
                if p[i] == c"\r":
                    return 0 if i + 1 >= n else E_NAME if p[i + 1] == c"\n" else E_LINE_END
                if p[i] == c"\n":
                    return E_LINE_END
                return E_FOLD if i == line and (p[i] == c" " or p[i] == c"\t") else E_NAME
            if count == self.max_count:
                return E_COUNT
            if count == self.capacity:
                try:
                    self._reserve()
                except MemoryError:
                    return E_COUNT
            field = &self.fields[count]
            field.name = <int>line
            field.name_len = <int>(i - line)
            i += 1
            while p[i] == c" " or p[i] == c"\t":
                i += 1
            value = i
            i = qt_scan_value(p, i, n)
            if i >= n:
                return 0
            if p[i] != c"\r":
                return E_LINE_END if p[i] == c"\n" else E_VALUE
            if i + 1 >= n:
                return 0
            if p[i + 1] != c"\n":
                return E_LINE_END
            stop = i
            while stop > value and (p[stop - 1] == c" " or p[stop - 1] == c"\t"):
                stop -= 1
            i += 2
            field.value = <int>value
            field.value_len = <int>(stop - value)
            field.named = 0
            known = identify(p + line, field.name_len)
            field.id = known
            count += 1
            if known:
                if self.present & bit(known):
                    if ONCE & bit(known):
                        return E_HOST if known == H_HOST else E_LENGTH if known == H_CONTENT_LENGTH else E_CODING
                else:
                    self.present |= bit(known)
                    self.at[known] = count - 1
                if known == H_CONNECTION:
                    code = self._read_connection(count - 1)
                    if code:
                        return code

    cdef int _read_connection(self, int index) noexcept:
        """Read the options of a Connection line (RFC 9110 7.6.1)."""
        cdef const unsigned char* p = self.p
        cdef int i = self.fields[index].value
        cdef int end = i + self.fields[index].value_len
        cdef int start, length
        while i < end:
            while i < end and (p[i] == c" " or p[i] == c"\t" or p[i] == c","):
                i += 1
            start = i
            while i < end and TOKEN[p[i]]:
                i += 1
            length = i - start
            while i < end and (p[i] == c" " or p[i] == c"\t"):
                i += 1
            if i < end and p[i] != c",":
                return E_VALUE
            if length == 5 and same(p + start, b"close", 5):
                self.close = True
            elif length == 10 and same(p + start, b"keep-alive", 10):
                self.keep_alive = True
            elif length == 7 and same(p + start, b"upgrade", 7):
                self.upgrade = True
            elif length:
                self.named_options += 1
                if self.named_options > self.max_count:  # what bounds the work of _mark_named
                    return E_COUNT
        return 0

    cdef void _mark_named(self) noexcept:
        """Mark the lines that Connection names. Rare, so it may be slow: names × lines."""
        cdef const unsigned char* p = self.p
        cdef int k, j, i, end, start, length
        for k in range(self.count):
            if self.fields[k].id != H_CONNECTION:
                continue
            i = self.fields[k].value
            end = i + self.fields[k].value_len
            while i < end:
                while i < end and not TOKEN[p[i]]:
                    i += 1
                start = i
                while i < end and TOKEN[p[i]]:
                    i += 1
                length = i - start
                for j in range(self.count):
                    if self.fields[j].name_len == length and not (NOT_NAMEABLE & bit(self.fields[j].id)):
                        if same_names(p + self.fields[j].name, p + start, length):
                            self.fields[j].named = 1

    cdef int _check_fields(self) noexcept:
        """Framing (RFC 9112 6): one unambiguous statement of where the body ends, or an error."""
        cdef const unsigned char* p = self.p
        cdef int i, index
        cdef long long length = 0
        if self.named_options:
            self._mark_named()
        if self.present & bit(H_TRANSFER_ENCODING):
            if self.minor == 0:
                return E_CODING_10
            if self.present & bit(H_CONTENT_LENGTH):
                return E_BOTH
            index = self.at[H_TRANSFER_ENCODING]
            if not self._spaced_plainly(index):
                return E_CODING
            if self.fields[index].value_len != 7 or not same(p + self.fields[index].value, b"chunked", 7):
                if ends_in_chunked(p + self.fields[index].value, self.fields[index].value_len):
                    return E_UNKNOWN_CODING
                return E_CODING
            self.chunked = True
        elif self.present & bit(H_CONTENT_LENGTH):
            index = self.at[H_CONTENT_LENGTH]
            if not 0 < self.fields[index].value_len <= 18 or not self._spaced_plainly(index):
                return E_LENGTH
            for i in range(self.fields[index].value, self.fields[index].value + self.fields[index].value_len):
                if not c"0" <= p[i] <= c"9":
                    return E_LENGTH
                length = length * 10 + (p[i] - c"0")
            self.content_length = length
        return 0

    cdef bint _spaced_plainly(self, int index) noexcept:
        """Whether no HTAB surrounds the value. It is legal, but some backends do not treat it as white space."""
        cdef const unsigned char* p = self.p
        cdef int i = self.fields[index].name + self.fields[index].name_len + 1
        while p[i] != c"\r":
            if p[i] == c"\t":
                return False
            i += 1
        return True

    cdef int _forget(self) except -1:
        """After a head that did not parse: nothing may point into bytes that are no longer there."""
        self.count = 0
        self.present = 0
        self.named_options = 0
        self.end = self.start
        return 0

    cdef bint _edited(self, int index, HeaderEdits edits) noexcept:
        cdef bytes name
        for name in edits.names:
            if PyBytes_GET_SIZE(name) == self.fields[index].name_len:
                if same_names(self.p + self.fields[index].name, <const unsigned char*>PyBytes_AS_STRING(name),
                              self.fields[index].name_len):
                    return True
        return False

    cdef Py_ssize_t _kept(self, Mask drop, HeaderEdits edits) noexcept:
        """Bytes of the header lines that stay."""
        cdef Py_ssize_t size = 0
        cdef int k, following
        cdef bint plain = not (self.present & drop) and not self.named_options and (edits is None or not edits.names)
        if self.count == 0:
            return 0
        if plain:
            return self.end - 2 - self.fields[0].name
        for k in range(self.count):
            if (drop & bit(self.fields[k].id)) and self.fields[k].id or self.fields[k].named:
                self.fields[k].named = 2 | self.fields[k].named
                continue
            if edits is not None and edits.names and self._edited(k, edits):
                self.fields[k].named = 2 | self.fields[k].named
                continue
            following = self.fields[k + 1].name if k + 1 < self.count else <int>self.end - 2
            size += following - self.fields[k].name
        return size

    cdef unsigned char* _copy_kept(self, unsigned char* out, Mask drop, HeaderEdits edits) noexcept:
        """Copy what `_kept` counted, a run of neighbouring lines at a time. Returns the end of the copy."""
        cdef const unsigned char* p = self.p
        cdef int k
        cdef int run = self.fields[0].name if self.count else 0
        cdef int following = run
        if self.count == 0:
            return out
        for k in range(self.count):
            following = self.fields[k + 1].name if k + 1 < self.count else <int>self.end - 2
            if self.fields[k].named & 2:
                self.fields[k].named &= 1
                memcpy(out, p + run, self.fields[k].name - run)
                out += self.fields[k].name - run
                run = following
        memcpy(out, p + run, following - run)
        return out + (following - run)

    @property
    def version(self) -> str:
        return "1.1" if self.minor else "1.0"

    cpdef bint has(self, int known):
        """Whether a known header is there."""
        return (self.present & bit(known)) != 0

    cpdef bytes value(self, int known):
        """The value of the first line of a known header, None if there is none."""
        if not self.present & bit(known):
            return None
        cdef Field* field = &self.fields[self.at[known]]
        return PyBytes_FromStringAndSize(<const char*>self.p + field.value, field.value_len)

    cpdef bytes get(self, bytes name):
        """The value of the first line of that name (given in lower case), None if there is none."""
        if name is None:
            raise TypeError("name must be bytes")
        cdef int k
        cdef int length = <int>PyBytes_GET_SIZE(name)
        cdef const unsigned char* wanted = <const unsigned char*>PyBytes_AS_STRING(name)
        for k in range(self.count):
            if self.fields[k].name_len == length and same_names(self.p + self.fields[k].name, wanted, length):
                return PyBytes_FromStringAndSize(<const char*>self.p + self.fields[k].value, self.fields[k].value_len)
        return None

    cpdef list get_all(self, bytes name):
        """The values of all lines of that name (given in lower case), in order."""
        if name is None:
            raise TypeError("name must be bytes")
        cdef int k
        cdef int length = <int>PyBytes_GET_SIZE(name)
        cdef const unsigned char* wanted = <const unsigned char*>PyBytes_AS_STRING(name)
        cdef list found = []
        for k in range(self.count):
            if self.fields[k].name_len == length and same_names(self.p + self.fields[k].name, wanted, length):
                found.append(
                    PyBytes_FromStringAndSize(<const char*>self.p + self.fields[k].value, self.fields[k].value_len)
                )
        return found

    def items(self) -> list:
        """All header lines as (name, value) in order. For tests, plug-ins and logs, not for the path."""
        return [
            (self.data[self.fields[k].name : self.fields[k].name + self.fields[k].name_len],
             self.data[self.fields[k].value : self.fields[k].value + self.fields[k].value_len])
            for k in range(self.count)
        ]

    cpdef release(self):
        """Let go of the received bytes. Nothing may be read from the head afterwards."""
        self._forget()
        self.data = None
        self.p = NULL


cdef inline bint same_names(const unsigned char* a, const unsigned char* b, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        if LOWER[a[i]] != LOWER[b[i]]:
            return False
    return True


cdef bint ends_in_chunked(const unsigned char* p, int n) noexcept nogil:
    """Whether a list of plain codings ends in chunked: legal, but not spoken here. Anything else is an attack."""
    cdef int i
    if n < 9 or not same(p + n - 7, b"chunked", 7):
        return False
    i = n - 8
    while i >= 0 and (p[i] == c" " or p[i] == c"\t"):
        i -= 1
    if i <= 0 or p[i] != c",":
        return False
    for i in range(n - 7):
        if not (TOKEN[p[i]] or p[i] == c" " or p[i] == c","):
            return False
        if i + 7 <= n - 7 and same(p + i, b"chunked", 7):
            return False
    return True


cdef int read_version(const unsigned char* p, Py_ssize_t n) noexcept nogil:
    """The n bytes behind the target: 1 if a version and CRLF come first, 0 if they still may, else what is wrong."""
    if memcmp(p, b"HTTP/", min(n, 5)) != 0:
        return E_START_LINE
    if memcmp(p, b"HTTP/1.", min(n, 7)) != 0 or (n > 7 and p[7] != c"0" and p[7] != c"1"):
        return E_VERSION
    if n > 8 and p[8] != c"\r":
        return E_LINE_END if p[8] == c"\n" else E_START_LINE
    if n > 9 and p[9] != c"\n":
        return E_LINE_END
    return n > 9


cdef inline Py_ssize_t check_input(bytes data, Py_ssize_t start) except -1:
    """The length of `data`. What is not bytes, or no place in them, never reaches the pointers."""
    if data is None:
        raise TypeError("data must be bytes")
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
    if start < 0 or start > n or n > INT_MAX:
        raise ValueError(f"start {start} is outside of {n} bytes")
    return n


cdef bytes M_GET = b"GET", M_HEAD = b"HEAD", M_POST = b"POST"
cdef frozenset IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


cdef class RequestHead(Head):
    """One request head. After `parse`:

    `method` bytes; `path` the canonical path, for routing and keys; `rewritten` if it differs from the received path;
    `host` lower-cased without the port, b"" if absent; `authority` if the target was an absolute URI, with an authority
    that replaces Host (RFC 9112 3.2.2).
    """

    def __cinit__(self):
        self.max_target = 8192

    cpdef Py_ssize_t parse(self, bytes data, Py_ssize_t start) except -1:
        """Parse one request head in `data` from `start`.

        Returns the offset of the first byte after it, or 0 if more bytes are needed. Raises ProtocolError.
        """
        cdef Py_ssize_t n = check_input(data, start)
        cdef Py_ssize_t end
        self.data = data
        self.p = <const unsigned char*>PyBytes_AS_STRING(data)
        self.method = b""
        self.target_len = 0
        self.request_id_made = False
        end = self._parse(start, n)
        if (n if end == 0 else end) - start > self.max_size and end >= 0:
            end = E_SIZE if self.target_len else E_TARGET_SIZE
        if end <= 0:
            self._forget()
            if end < 0:
                raise ProtocolError(REQUEST_REASONS[end])
            return 0
        self.end = end
        return end

    cdef int _forget(self) except -1:
        """Keep only the method and the target, if they were parsed: for the log."""
        if self.target_len == 0:
            self.target = 0
        self.query = self.target + self.target_len
        self.host_len = 0
        self.path = self.host = b""
        self.authority = None
        self.rewritten = False
        return Head._forget(self)

    cpdef release(self):
        """Let go of the received bytes and of all that was read from them."""
        self.method = b""
        self.target_len = 0
        self.request_id_made = False
        Head.release(self)

    cdef Py_ssize_t _parse(self, Py_ssize_t i, Py_ssize_t n) except? -99:
        cdef const unsigned char* p = self.p
        cdef Py_ssize_t begin, length
        cdef int code
        if i < n and p[i] == c"\r":  # one empty line before the request line is allowed (RFC 9112 2.2)
            if i + 1 >= n:
                return 0
            if p[i + 1] != c"\n":
                return E_LINE_END
            i += 2
        self.start = begin = i
        while TOKEN[p[i]]:
            i += 1
        length = i - begin
        if length > 32:
            return E_METHOD
        if i >= n:
            return 0
        if p[i] != c" " or length == 0:
            return E_METHOD
        if length == 3 and memcmp(p + begin, b"GET", 3) == 0:
            self.method = M_GET
            self.idempotent = True
            self.is_head = False
        elif length == 4 and memcmp(p + begin, b"POST", 4) == 0:
            self.method = M_POST
            self.idempotent = self.is_head = False
        else:
            self.method = PyBytes_FromStringAndSize(<const char*>p + begin, length)
            self.idempotent = self.method in IDEMPOTENT
            self.is_head = self.method == M_HEAD
        i += 1
        self.target = <int>i
        while TARGET[p[i]]:
            i += 1
        length = i - self.target
        if length > self.max_target:
            return E_TARGET_SIZE
        if i >= n:
            return 0
        if p[i] != c" " or length == 0:
            return E_TARGET if p[i] != c"\r" and p[i] != c"\n" else E_START_LINE
        self.target_len = <int>length
        i += 1
        length = n - i
        if length < 10 or memcmp(p + i, b"HTTP/1.1\r\n", 10) != 0:
            code = read_version(p + i, length)
            if code <= 0:
                return code
        self.minor = p[i + 7] - c"0"
        i = self._scan_fields(i + 10, n)
        if i <= 0:
            return i
        code = self._check_fields()
        if code == 0:
            self.authority = None
            code = self._read_target()
        if code == 0:
            code = self._read_host()
        if code < 0:
            return code
        return i

    cdef int _read_target(self) except -99:
        """Determine the form of the target (RFC 9112 3.2), the canonical path and the offset of the query."""
        cdef const unsigned char* p = self.p
        cdef int i = self.target
        cdef int end = i + self.target_len
        cdef int slash
        if self.method == b"CONNECT" or self.method == b"TRACE":
            return E_REFUSED
        if p[i] != c"/":
            if self.target_len == 1 and p[i] == c"*":
                self.query = end
                self.path = b"*"
                self.rewritten = False
                return 0 if self.method == b"OPTIONS" else E_TARGET
            slash = 7 if self.target_len > 7 and same(p + i, b"http:", 5) else 8
            if slash == 8 and not (self.target_len > 8 and same(p + i, b"https:", 6)):
                return E_TARGET
            if p[i + slash - 2] != c"/" or p[i + slash - 1] != c"/":
                return E_TARGET
            i += slash
            slash = i
            while slash < end and p[slash] != c"/" and p[slash] != c"?":
                slash += 1
            self.authority = PyBytes_FromStringAndSize(<const char*>p + i, slash - i)
            i = slash
        self.query = i
        while self.query < end and p[self.query] != c"?":
            self.query += 1
        if is_canonical(p + i, self.query - i):
            self.path = PyBytes_FromStringAndSize(<const char*>p + i, self.query - i)
            self.rewritten = self.authority is not None
            return 0
        if i == self.query and self.authority is not None:
            self.path = b"*" if self.method == b"OPTIONS" and i == end else b"/"
            self.rewritten = True
            return 0
        self.path = canonical_path(p + i, self.query - i)
        if self.path is None:
            return E_TARGET
        self.rewritten = self.authority is not None or PyBytes_GET_SIZE(self.path) != self.query - i or memcmp(
            p + i, PyBytes_AS_STRING(self.path), self.query - i) != 0
        return 0

    cdef int _read_host(self) noexcept:
        """Check Host (RFC 9110 7.2, RFC 3986 3.2.2) and keep the name in lower case, without the port."""
        cdef const unsigned char* p
        cdef int n, length, index
        if self.present & bit(H_HOST):
            index = self.at[H_HOST]
            self.host_value = self.fields[index].value
            self.host_len = self.fields[index].value_len
            length = host_length(self.p + self.host_value, self.host_len)
            if length <= 0:
                return E_HOST
        elif self.minor == 1:
            return E_HOST
        else:
            self.host_len = length = 0
        if self.authority is not None:
            p = <const unsigned char*>PyBytes_AS_STRING(self.authority)
            length = host_length(p, <int>PyBytes_GET_SIZE(self.authority))
            if length <= 0:
                return E_TARGET
        else:
            p = self.p + self.host_value
        self.host = lower_bytes(p, length)
        return 0

    cpdef bytes host_header(self):
        """The value of Host that is forwarded: the authority of an absolute target, else the client's Host."""
        if self.authority is not None:
            return self.authority
        return PyBytes_FromStringAndSize(<const char*>self.p + self.host_value, self.host_len) if self.host_len else b""

    cpdef bytes raw_target(self):
        """The request target as the client sent it."""
        return PyBytes_FromStringAndSize(<const char*>self.p + self.target, self.target_len)

    cpdef bytes query_string(self):
        """The query with its question mark, b"" if there is none."""
        return PyBytes_FromStringAndSize(
            <const char*>self.p + self.query, self.target + self.target_len - self.query)

    cpdef bytes request_id(self):
        """The X-Request-ID that is forwarded: the client's if it is 1 to 128 plain bytes, else 128 random bits."""
        cdef int index, i
        if self.present & bit(H_X_REQUEST_ID):
            index = self.at[H_X_REQUEST_ID]
            if 0 < self.fields[index].value_len <= 128:
                for i in range(self.fields[index].value, self.fields[index].value + self.fields[index].value_len):
                    if not ID_BYTE[self.p[i]]:
                        break
                else:
                    return self.value(H_X_REQUEST_ID)
        if not self.request_id_made:
            make_id(self.request_id_hex)
            self.request_id_made = True
        return PyBytes_FromStringAndSize(<const char*>self.request_id_hex, 32)

    cpdef bytes forward(
        self, bytes path, bytes block, Mask drop, bint forwarded_host, bint upgrade, HeaderEdits edits
    ):
        """The head as it goes to the backend, always HTTP/1.1, in one bytes object.

        `path` replaces the path (the query stays), None keeps it; `block` is header lines to add; `drop` the known
        headers to leave out besides the hop-by-hop ones; `forwarded_host` adds X-Forwarded-Host if there is none; `upgrade` lets the
        client's Upgrade through; `edits` are the route's. A request without Host (HTTP/1.0) gets an empty one
        (RFC 9112 3.2), unless `drop` or `edits` name Host.
        """
        if self.p is NULL or self.end == self.start or block is None:
            raise ValueError("no parsed head, or no block")
        cdef bytes out, own_id = None, host = None
        cdef unsigned char* o
        cdef Py_ssize_t size, method_len = PyBytes_GET_SIZE(self.method), block_len = PyBytes_GET_SIZE(block)
        cdef Py_ssize_t path_len, query_len = self.target + self.target_len - self.query, edit_len = 0
        cdef bint make = not (drop & bit(H_X_REQUEST_ID))
        drop |= HOP_BY_HOP_BITS
        if upgrade:
            drop &= ~bit(H_UPGRADE)
        if path is None and self.rewritten:
            path = self.path
        if make and self.present & bit(H_X_REQUEST_ID):
            own_id = self.request_id()
            drop |= bit(H_X_REQUEST_ID)
        if edits is not None:
            drop |= edits.mask
            edit_len = PyBytes_GET_SIZE(edits.lines)
            if edits.mask & ADDED_BITS:  # the route has the last word on what the proxy adds
                block = edits.without(block)
                block_len = PyBytes_GET_SIZE(block)
                if edits.mask & bit(H_X_REQUEST_ID):
                    make = False
                if edits.mask & bit(H_X_FORWARDED_HOST):
                    forwarded_host = False
        if not (drop & bit(H_HOST)):
            if self.authority is not None:
                host = self.authority
                drop |= bit(H_HOST)
            elif not self.present & bit(H_HOST):
                host = b""
        if edits is not None and edits.mask & bit(H_X_FORWARDED_HOST) or (
                self.present & ~drop & bit(H_X_FORWARDED_HOST)):
            forwarded_host = False  # already set by the route, or by a trusted proxy: never two lines
        forwarded_host = forwarded_host and (self.host_len or self.authority is not None)
        path_len = self.query - self.target if path is None else PyBytes_GET_SIZE(path)
        size = method_len + 1 + path_len + query_len + 11 + self._kept(drop, edits) + block_len + edit_len + 2
        if forwarded_host:
            size += 20 + (self.host_len if self.authority is None else PyBytes_GET_SIZE(self.authority))
        if make:
            size += 16 + (PyBytes_GET_SIZE(own_id) if own_id is not None else 32)
        if host is not None:
            size += 8 + PyBytes_GET_SIZE(host)
        if upgrade:
            size += 21
        out = PyBytes_FromStringAndSize(NULL, size)
        o = <unsigned char*>PyBytes_AS_STRING(out)
        o = put(o, <const unsigned char*>PyBytes_AS_STRING(self.method), method_len)
        o = put(o, b" ", 1)
        if path is None:
            o = put(o, self.p + self.target, path_len)
        else:
            o = put(o, <const unsigned char*>PyBytes_AS_STRING(path), path_len)
        o = put(o, self.p + self.query, query_len)
        o = put(o, b" HTTP/1.1\r\n", 11)
        if host is not None:
            o = put_line(o, b"Host: ", 6, <const unsigned char*>PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host))
        o = self._copy_kept(o, drop, edits)
        o = put(o, <const unsigned char*>PyBytes_AS_STRING(block), block_len)
        if forwarded_host:
            if self.authority is None:
                o = put_line(o, b"X-Forwarded-Host: ", 18, self.p + self.host_value, self.host_len)
            else:
                o = put_line(o, b"X-Forwarded-Host: ", 18, <const unsigned char*>PyBytes_AS_STRING(self.authority),
                             PyBytes_GET_SIZE(self.authority))
        if make:
            if own_id is not None:
                o = put_line(o, b"X-Request-ID: ", 14, <const unsigned char*>PyBytes_AS_STRING(own_id),
                             PyBytes_GET_SIZE(own_id))
            else:
                if not self.request_id_made:
                    make_id(self.request_id_hex)
                    self.request_id_made = True
                o = put_line(o, b"X-Request-ID: ", 14, self.request_id_hex, 32)
        if upgrade:
            o = put(o, b"Connection: upgrade\r\n", 21)
        if edit_len:
            o = put(o, <const unsigned char*>PyBytes_AS_STRING(edits.lines), edit_len)
        o = put(o, b"\r\n", 2)
        assert o - <unsigned char*>PyBytes_AS_STRING(out) == size
        return out


cdef inline unsigned char* put(unsigned char* out, const unsigned char* p, Py_ssize_t n) noexcept nogil:
    memcpy(out, p, n)
    return out + n


cdef inline unsigned char* put_line(
    unsigned char* out, const unsigned char* name, Py_ssize_t name_len, const unsigned char* p, Py_ssize_t n
) noexcept nogil:
    out = put(put(out, name, name_len), p, n)
    out[0] = c"\r"
    out[1] = c"\n"
    return out + 2


cdef bytes lower_bytes(const unsigned char* p, int n):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, n)
    cdef unsigned char* o = <unsigned char*>PyBytes_AS_STRING(out)
    cdef int i
    if n == 0:
        return b""
    for i in range(n):
        o[i] = LOWER[p[i]]
    return out


cdef int ipv6_length(const unsigned char* p, int n) noexcept nogil:
    """The length of the `[address]` at p, or -1 if it is no IPv6 address."""
    cdef char text[46]  # INET6_ADDRSTRLEN
    cdef char address[16]
    cdef int i = 1
    while i < n and i < 46 and p[i] != c"]":
        text[i - 1] = p[i]
        i += 1
    if i >= n or p[i] != c"]":
        return -1
    text[i - 1] = 0
    return i + 1 if inet_pton(AF_INET6, text, address) == 1 else -1


cdef int host_length(const unsigned char* p, int n) noexcept nogil:
    """The length of the host in `host[:port]`, or -1 if it is malformed, or longer than any DNS name can be."""
    cdef int i = 0, length, port = 0
    if n == 0:
        return -1
    if p[0] == c"[":
        i = ipv6_length(p, n)
        if i < 0:
            return -1
    else:
        while i < n and HOSTNAME[p[i]]:
            i += 1
    length = i
    if length == 0 or length > 255:
        return -1
    if i == n:
        return length
    if p[i] != c":" or n - i > 6:
        return -1
    i += 1
    while i < n:
        if not c"0" <= p[i] <= c"9":
            return -1
        port = port * 10 + (p[i] - c"0")
        i += 1
    return length if port <= 65535 else -1


cdef bint is_canonical(const unsigned char* p, int n) noexcept nogil:
    """Whether a path is its own canonical form, as nearly every path is."""
    cdef int i
    if n == 0 or p[0] != c"/":
        return False
    for i in range(n):
        if p[i] == c"%":
            return False
        if p[i] == c"/" and i + 1 < n:
            if p[i + 1] == c"/":
                return False
            if p[i + 1] == c".":
                if i + 2 == n or p[i + 2] == c"/":
                    return False
                if p[i + 2] == c"." and (i + 3 == n or p[i + 3] == c"/"):
                    return False
    return True


cdef bytes canonical_path(const unsigned char* p, int n):
    """The canonical form of a path (RFC 3986 6.2.2), or None if it has none.

    Percent-encoded unreserved bytes are decoded, other encodings get upper-case digits, neighbouring slashes become
    one, dot segments are resolved. Refused: a malformed encoding, an encoded NUL, a climb above the root.
    """
    cdef int i = 0, o = 0, high, low, back
    cdef unsigned char c
    cdef unsigned char* out
    if n == 0 or p[0] != c"/":
        return None
    out = <unsigned char*>malloc(n + 1)
    if out is NULL:
        raise MemoryError
    try:
        while i < n:
            c = p[i]
            if c == c"%":
                if i + 2 >= n or HEX[p[i + 1]] < 0 or HEX[p[i + 2]] < 0:
                    return None
                high = HEX[p[i + 1]]
                low = HEX[p[i + 2]]
                c = high * 16 + low
                if c == 0:
                    return None
                i += 3
                if not UNRESERVED[c]:
                    out[o] = c"%"
                    out[o + 1] = b"0123456789ABCDEF"[high]
                    out[o + 2] = b"0123456789ABCDEF"[low]
                    o += 3
                    continue
            else:
                i += 1
            if c == c"/":
                back = end_segment(out, o)
                if back < 0:
                    return None
                o = back
                if o > 0 and out[o - 1] == c"/":
                    continue
            out[o] = c
            o += 1
        # a dot segment at the end leaves the slash before it
        back = end_segment(out, o)
        if back < 0:
            return None
        return PyBytes_FromStringAndSize(<const char*>out, back)
    finally:
        free(out)


cdef int end_segment(const unsigned char* out, int o) noexcept nogil:
    """Resolve the segment that ends at `o` if it is a dot segment. Returns the new end, -1 above the root."""
    if o >= 2 and out[o - 1] == c"." and out[o - 2] == c"/":
        return o - 1
    if o >= 3 and out[o - 1] == c"." and out[o - 2] == c"." and out[o - 3] == c"/":
        o -= 3
        if o == 0:
            return -1
        while out[o - 1] != c"/":
            o -= 1
        return o
    return o


def canonicalize(bytes path not None) -> bytes | None:
    """The canonical form of a path as routing sees it, None if the path is refused. For configuration and tests."""
    return canonical_path(<const unsigned char*>PyBytes_AS_STRING(path), <int>PyBytes_GET_SIZE(path))


cpdef bint matches_at(bytes text, Py_ssize_t at, bytes part):
    """Whether `text` has `part` at the offset `at`: startswith without allocations."""
    if text is None or part is None or at < 0:
        return False
    cdef Py_ssize_t n = PyBytes_GET_SIZE(part)
    return PyBytes_GET_SIZE(text) - at >= n and memcmp(PyBytes_AS_STRING(text) + at, PyBytes_AS_STRING(part), n) == 0


# --- Request ids: xorshift128+, seeded from the system; unique, not secret ------------------------------------------

cdef unsigned long long id_state[2]


def seed_ids(bytes seed not None = b"") -> None:
    """Seed the request ids with 16 bytes, by default from the system. Call it in a process that was forked."""
    cdef bytes source = seed or os.urandom(16)
    if len(source) != 16:
        raise ValueError("a seed is 16 bytes")
    memcpy(id_state, PyBytes_AS_STRING(source), 16)
    id_state[0] |= 1


seed_ids()


cdef inline unsigned long long next_random() noexcept nogil:
    cdef unsigned long long x = id_state[0], y = id_state[1]
    id_state[0] = y
    x ^= x << 23
    id_state[1] = x ^ y ^ (x >> 17) ^ (y >> 26)
    return id_state[1] + y


cdef void make_id(unsigned char* out) noexcept nogil:
    cdef const unsigned char* digits = b"0123456789abcdef"
    cdef unsigned long long x
    cdef int half, i
    for half in range(2):
        x = next_random()
        for i in range(16):
            out[half * 16 + i] = digits[x & 15]
            x >>= 4


cpdef bytes new_id():
    """32 hex digits by the generator of the request ids."""
    cdef unsigned char digits[32]
    make_id(digits)
    return PyBytes_FromStringAndSize(<const char*>digits, 32)


cdef class ResponseHead(Head):
    """One response head. After `parse`: `status`, and what `Head` has."""

    cpdef Py_ssize_t parse(self, bytes data, Py_ssize_t start) except -1:
        """Parse one response head in `data` from `start`; returns as `RequestHead.parse` does."""
        cdef Py_ssize_t n = check_input(data, start)
        cdef Py_ssize_t end
        self.data = data
        self.p = <const unsigned char*>PyBytes_AS_STRING(data)
        end = self._parse(start, n)
        if (n if end == 0 else end) - start > self.max_size and end >= 0:
            end = E_SIZE
        if end <= 0:
            self._forget()
            if end < 0:
                raise ProtocolError(RESPONSE_REASONS[end])
            return 0
        self.end = end
        return end

    cdef int _forget(self) except -1:
        self.reason_len = 0
        return Head._forget(self)

    cdef Py_ssize_t _parse(self, Py_ssize_t i, Py_ssize_t n) noexcept:
        cdef const unsigned char* p = self.p
        cdef Py_ssize_t have = n - i
        cdef int code
        self.start = i
        if have < 13:  # "HTTP/1.1 200\r\n" without its last byte: too short to tell, unless it is no HTTP at all
            return E_START_LINE if memcmp(p + i, b"HTTP/1.", min(have, 7)) != 0 else 0
        if memcmp(p + i, b"HTTP/1.", 7) != 0 or not (c"0" <= p[i + 7] <= c"1") or p[i + 8] != c" ":
            return E_START_LINE
        self.minor = p[i + 7] - c"0"
        i += 9
        if not (c"1" <= p[i] <= c"9" and c"0" <= p[i + 1] <= c"9" and c"0" <= p[i + 2] <= c"9"):
            return E_START_LINE
        self.status = (p[i] - c"0") * 100 + (p[i + 1] - c"0") * 10 + (p[i + 2] - c"0")
        i += 3
        self.exact = p[i] == c" "
        if self.exact:
            i += 1
        elif p[i] != c"\r":
            return E_START_LINE
        self.reason = <int>i
        i = qt_scan_value(p, i, n)
        if i + 1 >= n:
            return 0 if i >= n or p[i] == c"\r" else E_START_LINE
        if p[i] != c"\r" or p[i + 1] != c"\n":
            return E_START_LINE
        self.reason_len = <int>i - self.reason
        i = self._scan_fields(i + 2, n)
        if i > 0:
            code = self._check_fields()
            if code < 0:
                return code
        return i

    cpdef bint clean(self, Mask drop):
        """Whether the head can go to an HTTP/1.1 client just as it was received."""
        return self.minor == 1 and self.exact and not self.named_options and not (
            self.present & (drop | HOP_BY_HOP_BITS))

    cpdef bytes forward(self, bytes block, Mask drop, HeaderEdits edits, Py_ssize_t tail):
        """The head as it goes to the client, always HTTP/1.1, and the body bytes up to offset `tail` behind it."""
        if self.p is NULL or self.end == self.start or block is None:
            raise ValueError("no parsed head, or no block")
        if tail < self.end or tail > PyBytes_GET_SIZE(self.data):
            raise ValueError(f"tail {tail} is outside of the received bytes")
        cdef Py_ssize_t size, edit_len = 0, block_len = PyBytes_GET_SIZE(block)
        cdef bytes out
        cdef unsigned char* o
        drop |= HOP_BY_HOP_BITS
        if edits is not None:
            drop |= edits.mask
            edit_len = PyBytes_GET_SIZE(edits.lines)
        size = 9 + 4 + self.reason_len + 2 + self._kept(drop, edits) + block_len + edit_len + 2 + (tail - self.end)
        out = PyBytes_FromStringAndSize(NULL, size)
        o = <unsigned char*>PyBytes_AS_STRING(out)
        o = put(o, b"HTTP/1.1 ", 9)
        o[0] = c"0" + self.status // 100
        o[1] = c"0" + self.status // 10 % 10
        o[2] = c"0" + self.status % 10
        o[3] = c" "
        o = put(o + 4, self.p + self.reason, self.reason_len)
        o = put(o, b"\r\n", 2)
        o = self._copy_kept(o, drop, edits)
        o = put(o, <const unsigned char*>PyBytes_AS_STRING(block), block_len)
        if edit_len:
            o = put(o, <const unsigned char*>PyBytes_AS_STRING(edits.lines), edit_len)
        o = put(o, b"\r\n", 2)
        o = put(o, self.p + self.end, tail - self.end)
        assert o - <unsigned char*>PyBytes_AS_STRING(out) == size
        return out


# --- Heads in pieces, bodies in chunks --------------------------------------------------------------------------------

cdef class HeadBuffer:
    """Collects a request head that comes in pieces, looking at each byte once.

    `feed` returns everything held as soon as the empty line has come, or a bare LF that `parse` is going to refuse,
    and None until then. More than `limit` bytes without an end are refused, so that what a slow client can make the
    proxy hold or scan is bounded.
    """

    def __init__(self, Py_ssize_t limit) -> None:
        self.held = bytearray()
        self.limit = limit

    def __len__(self) -> int:
        return len(self.held)

    cpdef bytes feed(self, bytes data):
        cdef const unsigned char* p
        cdef Py_ssize_t i, n
        if data is None:
            raise TypeError("data must be bytes")
        self.held += data
        p = <const unsigned char*>self.held
        n = len(self.held)
        i = self.scanned
        while i < n:
            if p[i] == c"\n":
                if i == 0 or p[i - 1] != c"\r" or (i - 1 == self.line and i > 1):
                    self.scanned = n
                    return bytes(self.held)
                self.line = i + 1
            i += 1
        self.scanned = n
        if n > self.limit:
            # an empty line may precede the request line
            raise ProtocolError(TARGET_TOO_LONG if self.line <= 2 else HEAD_TOO_LARGE)
        return None


cdef enum:
    S_SIZE, S_SIZE_LF, S_EXTENSION, S_DATA, S_DATA_CR, S_DATA_LF, S_TRAILER, S_TRAILER_LF, S_TRAILERS, S_DONE, S_FAILED

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9112 7.1.1; every alternative begins with a byte of its own, so that matching is linear
_EXTENSION = re.compile(
    rb"(?:[ \t]*;[ \t]*" + _TOKEN + rb'(?:[ \t]*=[ \t]*(?:' + _TOKEN
    + rb'|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)+'
)
_TRAILER = re.compile(rb"(" + _TOKEN + rb"):[\t \x21-\x7e\x80-\xff]*")
# RFC 9110 6.5.1: what decides about framing, routing, authentication or the content cannot come after it
FORBIDDEN_TRAILERS = frozenset(
    b"transfer-encoding content-length host connection keep-alive te trailer upgrade expect max-forwards "
    b"content-encoding content-type content-range range if-match if-none-match if-modified-since if-unmodified-since "
    b"if-range pragma cache-control authorization proxy-authorization "
    b"www-authenticate proxy-authenticate cookie set-cookie age date expires location retry-after vary warning "
    b"forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-real-ip x-request-id "
    b"via proxy proxy-connection".split()
)


cdef class ChunkedDecoder:
    """Follows a chunked body (RFC 9112 7.1) and hands on the bytes that may be forwarded.

    `feed` returns the body's bytes from `data[start:]`: still chunked but without extensions, or with
    `decode=True` only the payload. `done` is set at the end of the body, `end` is then the offset in `data` of the
    first byte after it. `total` counts payload bytes, `trailers` are the fields behind the last chunk. Extensions and trailers together are bounded by `limit` bytes.
    """

    def __init__(self, bint decode = False, bint response = False, Py_ssize_t limit = 32768) -> None:
        self.decode = decode
        self.response = response
        self.limit = limit
        self.state = S_SIZE
        self.trailers = ()

    cpdef object feed(self, bytes data, Py_ssize_t start):
        cdef Py_ssize_t i = start, n = check_input(data, start)
        cdef const unsigned char* p = <const unsigned char*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t keep = -1 if self.state in (S_EXTENSION, S_TRAILERS) or self.decode else start
        cdef Py_ssize_t take
        cdef int state = self.state
        cdef unsigned char c
        cdef list pieces = None
        while i < n and state < S_DONE:
            if state == S_DATA:
                take = n - i
                if <unsigned long long>take > self.left:
                    take = <Py_ssize_t>self.left
                if self.decode:
                    pieces = pieces or []
                    pieces.append(data[i : i + take])
                i += take
                self.left -= take
                self.total += take
                if self.left == 0:
                    state = S_DATA_CR
                continue
            c = p[i]
            if state == S_SIZE:
                if HEX[c] >= 0:
                    self.digits += 1
                    if self.digits > 15:
                        state = S_FAILED
                        break
                    self.left = self.left * 16 + HEX[c]
                elif self.digits == 0:
                    state = S_FAILED
                    break
                elif c == c"\r":
                    state = S_SIZE_LF
                elif c == c";" or c == c" " or c == c"\t":
                    self.line = bytearray()
                    if keep >= 0:
                        pieces = pieces or []
                        pieces.append(data[keep:i])
                        keep = -1
                    state = S_EXTENSION
                    continue
                else:
                    state = S_FAILED
                    break
            elif state == S_SIZE_LF:
                if c != c"\n":
                    state = S_FAILED
                    break
                self.digits = 0
                state = S_DATA if self.left else S_TRAILER
            elif state == S_DATA_CR:
                if c != c"\r":
                    state = S_FAILED
                    break
                state = S_DATA_LF
            elif state == S_DATA_LF:
                if c != c"\n":
                    state = S_FAILED
                    break
                state = S_SIZE
            elif state == S_EXTENSION:
                self.line.append(c)
                self.spent += 1
                if self.spent > self.limit:
                    state = S_FAILED
                    break
                if c == c"\n":
                    self._end_extension()
                    if not self.decode:
                        pieces = pieces or []
                        pieces.append(b"\r\n")
                        keep = i + 1
                    self.digits = 0
                    state = S_DATA if self.left else S_TRAILER
            elif state == S_TRAILER:
                if c == c"\r":
                    state = S_TRAILER_LF
                else:
                    self.line = bytearray()
                    if keep >= 0:
                        pieces = pieces or []
                        pieces.append(data[keep:i])
                        keep = -1
                    state = S_TRAILERS
                    continue
            elif state == S_TRAILER_LF:
                if c != c"\n":
                    state = S_FAILED
                    break
                state = S_DONE
            else:  # S_TRAILERS: held until the empty line, then checked as a whole
                self.line.append(c)
                self.spent += 1
                if self.spent > self.limit:
                    self._refuse(BAD_TRAILER)
                if c == c"\n" and not self.line.endswith(b"\r\n"):
                    self._refuse(BAD_TRAILER)
                if c == c"\n" and self.line.endswith(b"\r\n\r\n"):
                    trailers = self._end_trailers()
                    if not self.decode:
                        pieces = pieces or []
                        pieces.append(trailers)
                    state = S_DONE
            i += 1
        if state == S_FAILED:
            self._refuse(BAD_CHUNK)
        self.state = state
        self.end = i
        if state == S_DONE:
            self.done = True
        if pieces is None:
            if keep < 0:
                return b""
            return data if keep == 0 and i == n else data[keep:i]
        if keep >= 0:
            pieces.append(data[keep:i])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    cdef int _refuse(self, object reason) except -1:
        """Raise, and go on raising whatever else is fed."""
        self.state = S_FAILED
        raise ProtocolError(BAD_RESPONSE_CHUNK if self.response else reason)

    cdef _end_extension(self):
        if not self.line.endswith(b"\r\n") or _EXTENSION.fullmatch(self.line, 0, len(self.line) - 2) is None:
            self._refuse(BAD_CHUNK)

    cdef bytes _end_trailers(self):
        fields = []
        for line in bytes(self.line[: len(self.line) - 4]).split(b"\r\n"):
            match = _TRAILER.fullmatch(line)
            if match is None or match[1].lower() in FORBIDDEN_TRAILERS:
                self._refuse(BAD_TRAILER)
            fields.append((match[1], line[match.end(1) + 1 :].strip(b" \t")))
        self.trailers = tuple(fields)
        return bytes(self.line)
