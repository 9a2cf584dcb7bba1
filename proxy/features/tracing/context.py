"""traceparent and tracestate, read strictly (W3C Trace Context, level 1).

Law of this file: pure functions over bytes. A malformed field counts as absent: a new trace begins; nothing is
repaired or passed on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...http1.codec import RequestHead

SAMPLED = 1
"""The only flag that level 1 defines; all others are sent as zero (section 3.2.2.5)."""
MOST_MEMBERS = 32
"""Entries of tracestate (section 3.3.1.1)."""

_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(rb"%s=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]" % _KEY)


class Parent(NamedTuple):
    """The parent of a request's span: ids of 32 and 16 hex digits."""

    trace_id: bytes
    span_id: bytes
    sampled: bool


def parse_parent(values: Sequence[bytes]) -> Parent | None:
    """The values of all traceparent lines of a head. None unless there is exactly one and it is valid.

    A version that is not known yet is read as far as version 00 goes (section 3.2.4).
    """
    if len(values) != 1:
        return None
    found = _PARENT.fullmatch(values[0])
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return Parent(found[2], found[3], bool(int(found[4], 16) & SAMPLED))


def parse_state(values: Sequence[bytes]) -> bytes:
    """The values of all tracestate lines as one, b"" if there is nothing that may be passed on (section 3.3)."""
    members = [member.strip(b" \t") for member in b",".join(values).split(b",")]
    members = [member for member in members if member]
    keys = {member.partition(b"=")[0] for member in members}
    if len(members) > MOST_MEMBERS or len(keys) != len(members) or not all(map(_MEMBER.fullmatch, members)):
        return b""
    return b",".join(members)


def parent_of(head: RequestHead) -> Parent | None:
    """The parent in a request's traceparent, None without a valid one."""
    values = head.get_all(b"traceparent")
    return parse_parent(values) if values else None


def state_of(head: RequestHead) -> bytes:
    """The tracestate that belongs to an accepted traceparent."""
    values = head.get_all(b"tracestate")
    return parse_state(values) if values else b""


def threshold(share: float) -> bytes:
    """The least value of the last 14 digits of a trace id within the share (0 to 1): the same traces in all processes,
    as in OpenTelemetry's consistent probability sampling."""
    least = round((1.0 - share) * 2**56)
    return b"%014x" % least if least < 2**56 else b"g"  # which no digit reaches
