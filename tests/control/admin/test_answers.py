"""What is refused is a problem as RFC 9457 writes it, whoever refuses it, and says which field is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control.admin.fake import Client, admin


async def problem(call: Client, method: str, path: str, data: Any = None) -> tuple[int, str, str | None]:
    """Status, detail and Allow of a refusal."""
    async with call.session.request(method, f"http://127.0.0.1:{call.port}{path}", data=data) as response:
        assert response.content_type == "application/problem+json"
        told = await response.json()
        assert told["status"] == response.status
        return response.status, told["detail"], response.headers.get("Allow")


async def test_what_the_router_refuses_is_a_problem() -> None:
    async with admin() as call:
        assert await problem(call, "GET", "/x") == (404, "there is nothing at /x; docs/admin.md has the list", None)
        assert await problem(call, "GET", "/stop") == (405, "/stop takes POST, not GET", "POST")
        assert (await problem(call, "POST", "/upstreams/app"))[2] == "GET, HEAD"
        assert await problem(call, "PUT", "/log-level", b"x" * 100_000) == (
            413,
            "the body is larger than 65536 bytes",
            None,
        )


async def test_whom_the_guard_refuses_hears_nothing_of_what_there_is() -> None:
    async with admin("the-token-is-long") as call:
        assert (await problem(call, "GET", "/nope"))[0] == 401
        assert (await problem(call, "GET", "/stop"))[0] == 401


async def test_a_defect_is_a_problem_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with admin() as call:
        call.fake.last_reload = None  # type: ignore[assignment]
        assert await problem(call, "GET", "/metrics") == (500, "a defect of the proxy; see its log", None)
    assert "while answering GET /metrics" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "/log-level", b"[]", "the body must be a mapping of keys to values, not a list"),
        ("PUT", "/log-level", b"null", "the body has no value; it must be a mapping of keys to values"),
        ("POST", "/explain", b"7", "the body must be a mapping of keys to values, not the number 7"),
        ("POST", "/explain", b"{}", "url: is missing"),
        ("POST", "/explain", b'{"url": "/", "client": "me"}', 'client: must be an IP address, or unix for a client on'),
        ("POST", "/explain", b'{"url": "/", "headers": [["a b", "c"]]}', "headers[0][0]: "),
        ("POST", "/explain", b'{"url": "/", "cleint": "10.0.0.1"}', "cleint: is no known key (did you mean client?)"),
        ("POST", "/chaos/experiments", b'{"rule": {"name": "a", "fault": "abort", "stauts": 1}}', "mean status?"),
        ("POST", "/upstreams/app/backends", b'{"address": 1}', "address: "),
    ],
)  # fmt: skip
async def test_a_body_that_is_wrong_is_told_where(method: str, path: str, body: bytes, said: str) -> None:
    async with admin() as call:
        status, detail, _ = await problem(call, method, path, body)
        assert status == 400
        assert said in detail
        assert not detail.startswith(":")
