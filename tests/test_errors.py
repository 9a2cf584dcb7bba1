"""The table of reasons: complete, unambiguous, in the words of the pipeline and of RFC 9209."""

from __future__ import annotations

import re
from collections import Counter
from http import HTTPStatus
from pathlib import Path

import pytest

from proxy import errors
from proxy.errors import REASONS, ConfigError, Problem, ProtocolError, QantaraError, Reason
from proxy.pipeline import STAGES

PACKAGE = Path(__file__).resolve().parents[1] / "proxy"

# RFC 9209 2.3, with the status that it recommends; None where it leaves the status to the proxy
PROXY_ERRORS = {
    "dns_timeout": 504,
    "dns_error": 502,
    "destination_not_found": 500,
    "destination_unavailable": 503,
    "destination_ip_prohibited": 502,
    "destination_ip_unroutable": 502,
    "connection_refused": 502,
    "connection_terminated": 502,
    "connection_timeout": 504,
    "connection_read_timeout": 504,
    "connection_write_timeout": 504,
    "connection_limit_reached": 503,
    "tls_protocol_error": 502,
    "tls_certificate_error": 502,
    "tls_alert_received": 502,
    "http_request_error": None,
    "http_request_denied": 403,
    "http_response_incomplete": 502,
    "http_response_header_section_size": 502,
    "http_response_header_size": 502,
    "http_response_body_size": 502,
    "http_response_trailer_section_size": 502,
    "http_response_trailer_size": 502,
    "http_response_transfer_coding": 502,
    "http_response_content_coding": 502,
    "http_response_timeout": 504,
    "http_upgrade_failed": 502,
    "http_protocol_error": 502,
    "proxy_internal_response": None,
    "proxy_internal_error": 500,
    "proxy_configuration_error": 500,
    "proxy_loop_detected": 502,
}
OTHER_STATUS = {
    "route.no_route": 404,  # to the client it is not there; 500 would blame the proxy
    "accept.method_refused": 405,  # RFC 9110 15.5.6 is more exact than 403
    "accept.too_many_from_client": 429,  # RFC 6585 4
    "admit.rate_limited": 429,  # RFC 6585 4
    "relay.client_stalled": 408,  # for the log alone: the client gets nothing more
    "connect.limit": 502,  # this proxy's fault, but another one may do better
}
BY_NAME = {reason.name: reason for reason in REASONS}

every = pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.name)


@every
def test_the_stage_is_one_of_the_ten(reason: Reason) -> None:
    assert reason.stage in STAGES


@every
def test_the_words_fit_into_a_header_a_label_and_a_line(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", reason.name)
    assert reason.name == f"{reason.stage}.{reason.cause}"
    assert re.fullmatch(r"[ -~]+\.", reason.hint)
    assert '"' not in reason.hint


@every
def test_the_error_type_is_registered(reason: Reason) -> None:
    assert reason.error == "" or reason.error in PROXY_ERRORS


@every
def test_the_status_fits_the_error_type(reason: Reason) -> None:
    if reason.name in OTHER_STATUS:
        assert reason.status == OTHER_STATUS[reason.name]
    elif reason.error == "http_request_error":
        assert 400 <= reason.status < 500 or reason.status in (501, 505)
    elif reason.error == "proxy_internal_response":  # RFC 9209 2.3.30: whatever fits the response
        assert 500 <= reason.status < 600
    elif reason.error:
        assert reason.status == PROXY_ERRORS[reason.error]
    else:
        assert reason.status < 400 or reason.status == 499


@every
def test_the_status_is_known(reason: Reason) -> None:
    assert reason.status == 499 or HTTPStatus(reason.status)


@every
def test_only_what_sent_nothing_is_retryable(reason: Reason) -> None:
    if reason.retryable:
        assert reason.stage == "connect"


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(reason.name for reason in REASONS).items() if count > 1] == []


def test_the_exceptions_to_the_table_exist() -> None:
    assert OTHER_STATUS.keys() <= BY_NAME.keys()


def test_every_reason_is_used_somewhere() -> None:
    names = {name for name, value in vars(errors).items() if isinstance(value, Reason)}
    sources = [path for path in PACKAGE.rglob("*.py*") if path.suffix in (".py", ".pyx") and path.name != "errors.py"]
    text = "\n".join(path.read_text() for path in sources)
    assert sorted(names - set(re.findall(r"\w+", text))) == []


def test_no_other_module_defines_an_exception() -> None:
    pattern = re.compile(r"^class \w+\((?:\w+\.)*\w*(?:Error|Exception)\)", re.MULTILINE)
    found = [
        str(path) for path in PACKAGE.rglob("*.py") if path.name != "errors.py" and pattern.search(path.read_text())
    ]
    assert found == []


# --- exceptions -----------------------------------------------------------------------------------------


def test_a_protocol_error_says_what_is_wrong() -> None:
    assert str(ProtocolError(errors.BAD_HOST)) == f"accept.bad_host: {errors.BAD_HOST.hint}"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("f.yaml", 3, 7, "a.b", "is wrong"), "f.yaml:3:7: a.b: is wrong"),
        (Problem("f.yaml", 3, 7, "", "is wrong"), "f.yaml:3:7: is wrong"),
        (Problem("f.yaml", 0, 0, "a", "is wrong"), "f.yaml: a: is wrong"),
    ],
)
def test_a_problem_as_text(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_config_error_holds_all_problems() -> None:
    problems = [Problem("f", 1, 1, "a", "x"), Problem("f", 2, 1, "b", "y")]
    error = ConfigError(problems)
    assert str(error) == "f:1:1: a: x\nf:2:1: b: y"
    assert error.problems == tuple(problems)


def test_every_exception_has_the_same_base() -> None:
    own = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(each, QantaraError) for each in own)
