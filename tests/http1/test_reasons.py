"""Every reason that the codec can give has a case in the tables, so a test shows that it fires."""

from __future__ import annotations

from proxy import errors
from proxy.errors import Reason
from proxy.http1 import codec

from . import cases_chunked, cases_request, cases_response
from .cases_smuggling import CORPUS

# In test_limits.py and test_smuggling.py: they need other limits, or another version, than the tables have.
ELSEWHERE = {
    errors.HEAD_TOO_LARGE,
    errors.TARGET_TOO_LONG,
    errors.CODING_IN_HTTP10,
    errors.BAD_RESPONSE_CHUNK,
}


def test_every_reason_has_a_case() -> None:
    known = {value for value in vars(codec).values() if isinstance(value, Reason)}
    tables = [*cases_request.REJECTS, *cases_response.REJECTS, *cases_chunked.REJECTS]
    fired = {row[2] for row in tables} | {row[2] for row in CORPUS} | {row[3] for row in CORPUS}
    assert len(known) > 25
    assert known - fired == ELSEWHERE


def test_every_code_has_a_reason_in_both_directions() -> None:
    """A defect found once: a response with two Host lines had a code for which there was no reason."""
    request_line = {
        errors.METHOD_REFUSED,
        errors.BAD_METHOD,
        errors.BAD_TARGET,
        errors.TARGET_TOO_LONG,
        errors.BAD_VERSION,
    }
    codes = {code for code, reason in codec.REQUEST_REASONS.items() if reason not in request_line}
    assert set(codec.RESPONSE_REASONS) == codes
    assert all(reason.stage == "accept" for reason in codec.REQUEST_REASONS.values())
    assert all((reason.stage, reason.status) == ("relay", 502) for reason in codec.RESPONSE_REASONS.values())
