"""Types of the codec, for checkers and editors; the contracts are in codec.pyx."""

from typing import Final

from ..errors import Reason

# Numbers of known headers, for `Head.has`, `Head.value` and `mask_of`.
HOST: Final[int]
CONTENT_LENGTH: Final[int]
TRANSFER_ENCODING: Final[int]
UPGRADE: Final[int]
EXPECT: Final[int]
X_FORWARDED_FOR: Final[int]
X_FORWARDED_PROTO: Final[int]
X_FORWARDED_HOST: Final[int]
X_FORWARDED_PORT: Final[int]
X_REAL_IP: Final[int]
FORWARDED: Final[int]
VIA: Final[int]
X_REQUEST_ID: Final[int]
MAX_FORWARDS: Final[int]
ACCEPT: Final[int]
USER_AGENT: Final[int]
REFERER: Final[int]

KNOWN_HEADERS: Final[tuple[bytes, ...]]
"""The names of the known headers in lower case, at the place of their number; b"" at 0."""
HOP_BY_HOP: Final[int]
"""The mask of what is never forwarded."""
FORBIDDEN_TRAILERS: Final[frozenset[bytes]]
"""Names, in lower case, that are forbidden in trailers."""
REQUEST_REASONS: Final[dict[int, Reason]]
"""What each internal code means in a request."""
RESPONSE_REASONS: Final[dict[int, Reason]]
"""What each internal code means in a response."""

def mask_of(*known: int) -> int:
    """The bit mask for these known headers."""

def known_header(name: bytes) -> int:
    """The number of a known header, 0 for any other."""

def canonicalize(path: bytes) -> bytes | None:
    """The canonical form of a path, None if the path is refused."""

def matches_at(text: bytes, at: int, part: bytes) -> bool:
    """Whether `text` has `part` at the offset `at`."""

def seed_ids(seed: bytes = b"") -> None:
    """Seed the request ids with 16 bytes, by default from the system."""

def new_id() -> bytes:
    """32 hex digits by the generator of the request ids: unique, not secret."""

class HeaderEdits:
    """Changes to the headers of one direction, compiled once."""

    def __init__(
        self,
        set: dict[bytes, bytes] | None = None,  # noqa: A002 (its name in the configuration too)
        append: dict[bytes, bytes] | None = None,
        remove: list[bytes] | None = None,
    ) -> None: ...
    def plus(self, fields: tuple[tuple[bytes, bytes], ...], dropped: bytes | None = None) -> HeaderEdits:
        """These changes, and further fields; and every field named `dropped` (lower case) is dropped. It must be a
        name that the codec has no number for."""
    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The fields that are added."""
    @property
    def mask(self) -> int:
        """The known headers of which every line is dropped."""
    @property
    def names(self) -> tuple[bytes, ...]:
        """The other names, in lower case, of which every line is dropped."""
    @property
    def lines(self) -> bytes:
        """The fields that are added, as HTTP/1.1 writes them."""

class Head:
    """What request and response heads have in common."""

    max_size: int
    """Bytes that a head may have."""
    max_count: int
    """Header lines that a head may have."""
    @property
    def data(self) -> bytes:
        """The bytes that the head was parsed from, not to be read after `release`."""
    @property
    def start(self) -> int:
        """Offset of the first byte of the start line."""
    @property
    def end(self) -> int:
        """Offset of the first byte behind the head."""
    @property
    def count(self) -> int:
        """Header lines."""
    @property
    def minor(self) -> int:
        """0 or 1, of HTTP/1.0 or HTTP/1.1."""
    @property
    def version(self) -> str:
        """1.0 or 1.1, as Via has it (RFC 9110 7.6.3)."""
    @property
    def content_length(self) -> int:
        """Content-Length in bytes, -1 if there is none."""
    @property
    def chunked(self) -> bool:
        """Whether the body is chunked."""
    @property
    def close(self) -> bool:
        """Whether Connection names close."""
    @property
    def keep_alive(self) -> bool:
        """Whether Connection names keep-alive."""
    @property
    def upgrade(self) -> bool:
        """Whether Connection names upgrade."""
    def has(self, known: int) -> bool:
        """Whether a known header is there."""
    def value(self, known: int) -> bytes | None:
        """The first value of a known header."""
    def get(self, name: bytes) -> bytes | None:
        """The first value of any header; `name` in lower case."""
    def get_all(self, name: bytes) -> list[bytes]:
        """All values of any header, in order."""
    def items(self) -> list[tuple[bytes, bytes]]:
        """All header lines, in order."""
    def release(self) -> None:
        """Let go of the received bytes."""

class RequestHead(Head):
    """One request head."""

    max_target: int
    """Bytes that a request target may have."""
    @property
    def method(self) -> bytes:
        """The method, case-sensitive."""
    @property
    def path(self) -> bytes:
        """The canonical path."""
    @property
    def host(self) -> bytes:
        """The host in lower case without the port, b"" if there is none."""
    @property
    def authority(self) -> bytes | None:
        """The authority of an absolute target, which replaces Host."""
    @property
    def rewritten(self) -> bool:
        """Whether `path` is not what the client sent."""
    @property
    def idempotent(self) -> bool:
        """Whether the method may be sent twice (RFC 9110 9.2.2)."""
    @property
    def is_head(self) -> bool:
        """Whether the method is HEAD."""
    def parse(self, data: bytes, start: int) -> int:
        """The offset behind the head, 0 if more is needed; raises ProtocolError."""
    def forward(
        self,
        path: bytes | None,
        block: bytes,
        drop: int,
        forwarded_host: bool,
        upgrade: bool,
        edits: HeaderEdits | None,
    ) -> bytes:
        """The head as it goes to the backend."""
    def raw_target(self) -> bytes:
        """The request target as the client sent it."""
    def query_string(self) -> bytes:
        """The query with its question mark, b"" if there is none."""
    def request_id(self) -> bytes:
        """The X-Request-ID that is forwarded."""
    def host_header(self) -> bytes:
        """The value of Host that is forwarded."""

class ResponseHead(Head):
    """One response head."""

    @property
    def status(self) -> int:
        """100 to 999."""
    def parse(self, data: bytes, start: int) -> int:
        """The offset behind the head, 0 if more is needed; raises ProtocolError."""
    def clean(self, drop: int) -> bool:
        """Whether the head can go to an HTTP/1.1 client as it was received."""
    def forward(self, block: bytes, drop: int, edits: HeaderEdits | None, tail: int) -> bytes:
        """The head as it goes to the client, and the body bytes up to offset `tail` behind it."""

class HeadBuffer:
    """Collects a request head that comes in pieces."""

    limit: int
    """Bytes that are held at most."""
    def __init__(self, limit: int) -> None: ...
    def __len__(self) -> int:
        """Bytes held."""
    def feed(self, data: bytes) -> bytes | None:
        """Everything held once it can be parsed, else None; raises ProtocolError."""

class ChunkedDecoder:
    """Follows a chunked body."""

    def __init__(self, decode: bool = False, response: bool = False, limit: int = 32768) -> None: ...
    @property
    def done(self) -> bool:
        """Whether the body is complete."""
    @property
    def end(self) -> int:
        """Offset in what was fed last of the first byte that is not of the body."""
    @property
    def total(self) -> int:
        """Payload bytes so far."""
    @property
    def trailers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The fields behind the last chunk."""
    def feed(self, data: bytes, start: int) -> bytes:
        """The bytes to hand on; raises ProtocolError."""
