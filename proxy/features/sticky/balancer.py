"""Session affinity on top of any algorithm: a request with the token of a usable backend goes to that backend; for all
other requests the algorithm picks.

Law of this file: a token is opaque: it does not reveal the backend's address, and cannot be forged without the secret.
It precedes the algorithm's own key (`packed`), at the first attempt only: a retry leaves the backend that has failed.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import mmh3

from ...balancing.base import Balancer, Done
from ...scoreboard import DOWN, HEALTH, MAINT, REPORTED_STATE, STATE
from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport

TOKEN_BYTES = 16
NO_TOKEN = b"\0"
TOKEN_LENGTH = 22
"""Characters of a token in base64url without padding."""


class StickySpec(NamedTuple):
    """How an upstream identifies the backend of a session."""

    upstream: str
    secrets: tuple[bytes, ...] = ()
    """Keys of the signatures: the first signs, all of them are accepted. Without any, a token is the backend's row on
    the scoreboard."""
    draining: bool = True
    """Whether backends that are drained, or have a weight of 0, keep their sessions."""

    def wrap(self, main: Balancer) -> Balancer:
        """`main` behind the stickiness of the upstream."""
        return Sticky(main, self)


class Tokens:
    """The tokens of backends: with secrets one signature by each of them, otherwise the row on the scoreboard. They are
    cached in `backend.learned`: made once per backend, and removed with it."""

    def __init__(self, spec: StickySpec) -> None:
        self.spec = spec
        self.key = "".join(f"token {sign(secret, spec.upstream, '').decode()}" for secret in spec.secrets)
        """The key in `backend.learned`. It differs with the secrets, and does not reveal them."""

    def of(self, backend: Backend) -> bytes:
        """The token that is issued."""
        return self.accepted(backend)[0]

    def accepted(self, backend: Backend) -> tuple[bytes, ...]:
        """All valid tokens: the one that is issued, then those by older secrets."""
        if not self.key:
            return (b"%d" % row_of(backend, self.spec.upstream),)
        found: tuple[bytes, ...] | None = backend.learned.get(self.key)
        if found is None:
            spec = self.spec
            found = tuple([sign(secret, spec.upstream, backend.name) for secret in spec.secrets])
            backend.learned[self.key] = found
        return found

    def by_token(self, backends: Iterable[Backend]) -> dict[bytes, Backend]:
        """These backends by all their valid tokens."""
        return {token: backend for backend in backends for token in self.accepted(backend)}


def sign(secret: bytes, upstream: str, name: str) -> bytes:
    """The token of a backend: HMAC-SHA-256 of its upstream and address, truncated to TOKEN_BYTES, in base64url. It is
    the same in all processes and on all machines with the same secret."""
    signed = hmac.digest(secret, f"{upstream}\n{name}".encode(), "sha256")
    return urlsafe_b64encode(signed[:TOKEN_BYTES]).rstrip(b"=")


def row_of(backend: Backend, upstream: str) -> int:
    """The row of a backend on the scoreboard, the same in all workers; without a board a hash of its name."""
    board = backend.board
    found = board.backends.rows.get(f"{upstream}\n{backend.name}") if board is not None else None
    return found if found is not None else mmh3.hash(backend.name, signed=False) % 16_384


def packed(token: bytes | None, key: bytes | None) -> bytes:
    """One key of a token (at most 255 bytes) and the algorithm's key: length, token, then "=" and the key if any."""
    if token is None:
        return NO_TOKEN if key is None else NO_TOKEN + b"=" + key
    return b"%c%b" % (len(token), token) if key is None else b"%c%b=%b" % (len(token), token, key)


def inner_key(key: bytes) -> bytes | None:
    """The algorithm's key in a packed key, None without one."""
    end = key[0] + 1
    return key[end + 1 :] if len(key) > end else None


class Sticky(Balancer):
    """Picks the backend of the token, else as `main`. Keys are `packed`."""

    needs_key = True

    def __init__(self, main: Balancer, spec: StickySpec) -> None:
        self.main = main
        self.tokens = Tokens(spec)
        self.draining = spec.draining
        self.usable: dict[bytes, Backend] = {}
        self.leaving: dict[bytes, Backend] = {}
        """Backends without new sessions. Whether one keeps its sessions is evaluated per request (`serves`)."""
        self.now_ns = 0

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.main.prober, self.main.scope = self.prober, self.scope
        weighted = {backend for backend in usable if backend.weight > 0}
        self.usable = self.tokens.by_token(weighted)
        self.leaving = {}
        if self.draining:
            self.leaving = self.tokens.by_token({*listed, *usable} - weighted)
        type(self.main).members(self.main, listed, in_rotation, usable)

    def pick(self, key: bytes | None) -> Backend | None:
        if not key:  # the key was made before a reload made the upstream sticky
            return self.main.pick(None)
        end = key[0] + 1
        if end > 1:
            backend = self.target(key[1:end])
            if backend is not None:
                return backend
        return self.main.pick(inner_key(key))

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        return self.main.candidates(inner_key(key) if key else None)

    def target(self, token: bytes) -> Backend | None:
        """The backend with this token, if it can serve its sessions."""
        found: Backend | None = self.usable.get(token)
        if found is None and self.leaving:
            found = self.leaving.get(token)
            if found is not None and not self.serves(found):
                return None
        return found

    def serves(self, backend: Backend) -> bool:
        """Whether a leaving backend keeps its sessions: not down, in maintenance or ejected."""
        rows = backend.rows
        kept = rows[STATE] != MAINT and rows[REPORTED_STATE] != MAINT and rows[HEALTH] != DOWN
        return bool(kept) and backend.ejected_until() <= self.now_ns

    def assigned(self, backend: Backend) -> None:
        self.main.assigned(backend)

    def released(self, backend: Backend, done: Done) -> None:
        self.main.released(backend, done)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.main.reported(backend, report, now)

    def tick(self, now: float) -> None:
        self.now_ns = int(now * 1e9)
        self.main.tick(now)

    def explain(self) -> dict[str, Any]:
        return self.main.explain()
