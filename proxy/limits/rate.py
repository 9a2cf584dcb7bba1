"""Rate limits, and the header fields of a refusal.

Law of this file: numbers are computed once, when the configuration is compiled.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from siphashc import siphash

SECOND = 1_000_000_000


class StoreSpec(NamedTuple):
    """A store of buckets that several machines share: its URL, the time-out of a question in seconds, and the prefix
    of its keys."""

    url: str
    timeout: float
    prefix: str


class RateSpec(NamedTuple):
    """`requests` per `period` seconds, and `burst` of them at once."""

    name: str
    requests: int
    period: float
    burst: int
    dry_run: bool = False
    """Whether requests are only counted, and none is refused."""

    @property
    def interval(self) -> int:
        """The time between two tokens, in ns."""
        return max(1, round(self.period * SECOND / self.requests))

    @property
    def depth(self) -> int:
        """The tokens of a full bucket, in ns."""
        return self.interval * self.burst

    def refusal(self, wait: int) -> tuple[tuple[str, str], ...]:
        """Fields for a request that came `wait` ns too early: Retry-After (RFC 9110 10.2.3) and those of
        draft-ietf-httpapi-ratelimit-headers-10."""
        seconds = -(-wait // SECOND)
        policy = f'"{self.name}";q={self.requests};w={max(1, round(self.period))}'
        return (
            ("Retry-After", str(seconds)),
            ("RateLimit-Policy", policy),
            ("RateLimit", f'"{self.name}";r=0;t={seconds}'),
        )


def bucket_key(salt: bytes, key: bytes) -> int:
    """The number of a key's bucket, never 0. `salt` separates limits and keeps clients from aiming at the buckets of
    others: without it collisions of keys cannot be constructed.

    SipHash-2-4 (Aumasson and Bernstein, 2012), which was made for this; a keyed BLAKE2 costs 10 us a request."""
    number: int = siphash(salt, key)
    return number - (1 << 64) if number >> 63 else number or 1


def salt_of(secret: int, name: str) -> bytes:
    """The salt of a limit (16 bytes), the same in every process with the secret of the machine."""
    return blake2b(name.encode(), digest_size=16, key=secret.to_bytes(8, "little", signed=True)).digest()
