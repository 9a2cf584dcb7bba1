"""Where a body ends: by its length or by its chunks (RFC 9112 6.3), in both directions.

Law of this file: a reader passes on the bytes of a body, returns the offset of its end, and buffers nothing.
"""

from __future__ import annotations

from typing import Any

from .codec import ChunkedDecoder

Trailers = tuple[tuple[bytes, bytes], ...]
"""Fields behind a body (RFC 9110 6.5)."""
VIEW_FROM = 4096
"""The size in bytes from which on a part of the received bytes is passed on as a view instead of a copy."""


class BodyReader:
    """Reads one body after the other. After `feed`: `done`, and `end`, the offset of the first byte after the body."""

    def __init__(self) -> None:
        self.left = 0
        self.decoder: ChunkedDecoder | None = None
        self.done = True
        self.end = 0
        self.total = 0
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()
        """Those behind the last chunk."""

    def begin_length(self, length: int) -> None:
        """A body of `length` bytes follows."""
        self.left = length
        self.decoder = None
        self.trailers = ()
        self.total = 0
        self.done = length == 0

    def begin_chunks(self, decode: bool, response: bool, limit: int) -> None:
        """A chunked body follows. With `decode` only its payload is passed on. `limit`: see ChunkedDecoder."""
        self.decoder = ChunkedDecoder(decode, response, limit)
        self.trailers = ()
        self.total = 0
        self.done = False

    def feed(self, data: bytes, start: int) -> Any:
        """The part of `data[start:]` to pass on. Raises ProtocolError for a malformed chunk."""
        decoder = self.decoder
        if decoder is not None:
            out = decoder.feed(data, start)
            self.done = decoder.done
            self.end = decoder.end
            self.total = decoder.total
            if decoder.done:
                self.trailers = decoder.trailers
                self.decoder = None
            return out
        size = len(data)
        take = size - start
        if take >= self.left:
            take = self.left
            self.done = True
        self.left -= take
        self.total += take
        self.end = start + take
        if take == size:
            return data
        if take > VIEW_FROM:
            return memoryview(data)[start : start + take]
        return data[start : start + take]
