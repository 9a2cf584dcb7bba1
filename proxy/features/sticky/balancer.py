"""Stickiness, on top of any algorithm: a request that says at which backend its session is goes there, if that one is
usable; for all others, and if it is not, the algorithm decides.

Law of this file: what a request says of its backend is a mark that tells nothing of the backend's address, and nobody
but the proxy can make one up. It comes in front of the algorithm's own key (`packed`), and never for a further try: a
request that has failed at its backend leaves it.
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
UNMARKED = b"\0"
TOKEN_LENGTH = 22
"""Characters of a token in base64url without padding."""


class StickySpec(NamedTuple):
    """How an upstream knows a backend again."""

    upstream: str
    secrets: tuple[bytes, ...] = ()
    """What tokens are made with: by the first; those made by the others are known still. None of them, and sessions are
    remembered by the rows of backends instead."""
    draining: bool = True
    """Whether backends that are drained, or have a weight of 0, keep their sessions."""

    def wrap(self, main: Balancer) -> Balancer:
        """`main` behind the stickiness of the upstream."""
        return Sticky(main, self)


class Marks:
    """What stands for a backend: with secrets a token by each of them, otherwise its row on the scoreboard. Tokens lie
    in `backend.learned`, so they are made once for all who need them, and go with their backend."""

    def __init__(self, spec: StickySpec) -> None:
        self.spec = spec
        self.key = "".join(f"token {token(secret, spec.upstream, '').decode()}" for secret in spec.secrets)
        """Their name there; another one with other secrets, without telling them."""

    def of(self, backend: Backend) -> bytes:
        """What clients are told."""
        return self.every(backend)[0]

    def every(self, backend: Backend) -> tuple[bytes, ...]:
        """What clients are told, and have been told before a secret was changed."""
        if not self.key:
            return (b"%d" % row_of(backend, self.spec.upstream),)
        found: tuple[bytes, ...] | None = backend.learned.get(self.key)
        if found is None:
            spec = self.spec
            found = tuple([token(secret, spec.upstream, backend.name) for secret in spec.secrets])
            backend.learned[self.key] = found
        return found

    def known(self, backends: Iterable[Backend]) -> dict[bytes, Backend]:
        """These backends by all their marks."""
        return {mark: backend for backend in backends for mark in self.every(backend)}


def token(secret: bytes, upstream: str, name: str) -> bytes:
    """The token of a backend: a signature of its upstream and address, of which without the secret nobody can tell
    whose it is, or make another one. It is the same in all processes and on all machines that have the secret."""
    signed = hmac.digest(secret, f"{upstream}\n{name}".encode(), "sha256")
    return urlsafe_b64encode(signed[:TOKEN_BYTES]).rstrip(b"=")


def row_of(backend: Backend, upstream: str) -> int:
    """The number of a backend on the scoreboard, which all workers know it by."""
    board = backend.board
    found = board.backends.rows.get(f"{upstream}\n{backend.name}") if board is not None else None
    return found if found is not None else mmh3.hash(backend.name, signed=False) % 16_384


def packed(mark: bytes | None, key: bytes | None) -> bytes:
    """A mark, which is shorter than 256 bytes, and the algorithm's key in one."""
    if mark is None:
        return UNMARKED if key is None else UNMARKED + b"=" + key
    return b"%c%b" % (len(mark), mark) if key is None else b"%c%b=%b" % (len(mark), mark, key)


def behind_mark(key: bytes) -> bytes | None:
    """The algorithm's key of what was packed."""
    end = key[0] + 1
    return key[end + 1 :] if len(key) > end else None


class Sticky(Balancer):
    """`main`, unless a request has a mark; keys are `packed`."""

    needs_key = True

    def __init__(self, main: Balancer, spec: StickySpec) -> None:
        self.main = main
        self.marks = Marks(spec)
        self.draining = spec.draining
        self.usable: dict[bytes, Backend] = {}
        self.leaving: dict[bytes, Backend] = {}
        """Those that get nothing new; whether they keep what they have is seen when a request asks for one."""
        self.now_ns = 0

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.main.prober, self.main.scope = self.prober, self.scope
        weighted = {backend for backend in usable if backend.weight > 0}
        self.usable = self.marks.known(weighted)
        self.leaving = {}
        if self.draining:
            self.leaving = self.marks.known({*listed, *usable} - weighted)
        type(self.main).members(self.main, listed, in_rotation, usable)

    def pick(self, key: bytes | None) -> Backend | None:
        if not key:  # it was asked for before the upstream was sticky
            return self.main.pick(None)
        end = key[0] + 1
        if end > 1:
            backend = self.target(key[1:end])
            if backend is not None:
                return backend
        return self.main.pick(behind_mark(key))

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        return self.main.candidates(behind_mark(key) if key else None)

    def target(self, mark: bytes) -> Backend | None:
        """The backend with this mark, if it can serve its sessions."""
        found: Backend | None = self.usable.get(mark)
        if found is None and self.leaving:
            found = self.leaving.get(mark)
            if found is not None and not self.serves(found):
                return None
        return found

    def serves(self, backend: Backend) -> bool:
        """Whether a backend that gets nothing new is well."""
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
