"""The WSGI middleware, called as a server calls it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from time import thread_time
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from proxy.middleware.wsgi import LoadReportMiddleware
from proxy.upstream.load.orca import parse_body, parse_header
from proxy.upstream.load.report import LoadReport

Start = Callable[..., Any]
OK = ("200 OK", [("X-Own", "1")])


def burn(seconds: float) -> None:
    until = thread_time() + seconds
    while thread_time() < until:
        pass


class Server:
    """Calls an app once and keeps what it sends."""

    def __init__(self) -> None:
        self.heads: list[tuple[str, list[tuple[str, str]]]] = []
        self.order: list[str] = []
        self.body = b""

    def call(self, app: Any, path: str = "/", **environ: Any) -> None:
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.file_wrapper": FileWrapper} | environ
        result = app(asked, self.start)
        try:
            for part in result:
                assert self.heads, "the head comes first"
                self.order.append("body")
                self.body += part
        finally:
            if hasattr(result, "close"):
                result.close()

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        self.heads.append((status, headers))
        self.order.append("head")
        return self.write

    def write(self, data: bytes) -> None:
        self.order.append("write")
        self.body += data

    @property
    def report(self) -> LoadReport:
        (value,) = [value for name, value in self.heads[-1][1] if name == "endpoint-load-metrics"]
        found = parse_header(value.encode())
        assert found is not None
        return found


def lists(environ: Any, start: Start) -> Iterable[bytes]:
    start(*OK)
    return [b"ok"]


def generates(environ: Any, start: Start) -> Iterator[bytes]:
    start(*OK)
    burn(0.02)
    yield b"o"
    yield b"k"


def writes(environ: Any, start: Start) -> Iterable[bytes]:
    write = start(*OK)
    write(b"o")
    return iter([b"k"])


@pytest.mark.parametrize("app", [lists, generates, writes])
def test_each_response_has_a_report(app: Any) -> None:
    wrapped, server = LoadReportMiddleware(app), Server()
    server.call(wrapped)
    ((status, headers),) = server.heads
    assert (status, headers[0], server.body) == ("200 OK", ("X-Own", "1"), b"ok")
    assert server.report.in_flight == 1.0
    assert server.order[0] == "head"
    assert (wrapped.load.in_flight, wrapped.load.done, wrapped.load.failed) == (0, 1, 0)


def test_the_cost_is_that_of_the_thread() -> None:
    def app(environ: Any, start: Start) -> Iterable[bytes]:
        burn(0.03)
        start(*OK)
        return [b"ok"]

    stop = threading.Event()

    def beside() -> None:
        while not stop.is_set():
            burn(0.001)

    other = threading.Thread(target=beside)
    other.start()
    server = Server()
    server.call(LoadReportMiddleware(app))
    stop.set()
    other.join()
    assert 0.03 <= server.report.cost < 0.05


def test_the_cost_has_the_work_for_the_first_bytes_in_it() -> None:
    server = Server()
    server.call(LoadReportMiddleware(generates))
    assert 0.02 <= server.report.cost < 0.04


def test_without_cost() -> None:
    server = Server()
    server.call(LoadReportMiddleware(lists, request_cost=False))
    assert server.report.cost != server.report.cost


def test_an_error_after_the_head_was_wanted() -> None:
    """An app may change its mind as long as nothing was sent."""

    def app(environ: Any, start: Start) -> Iterable[bytes]:
        start(*OK)
        try:
            raise RuntimeError("too late")
        except RuntimeError as error:
            start("500 Error", [], (type(error), error, None))
        return [b"sorry"]

    wrapped, server = LoadReportMiddleware(app), Server()
    server.call(wrapped)
    assert [status for status, _ in server.heads] == ["500 Error"]
    assert wrapped.load.failed == 1


@pytest.mark.parametrize("when", ["at once", "while it is read"])
def test_exceptions_go_on_and_are_counted(when: str) -> None:
    def app(environ: Any, start: Start) -> Iterable[bytes]:
        if when == "at once":
            raise RuntimeError("broken")
        return later(start)

    def later(start: Start) -> Iterator[bytes]:
        start(*OK)
        yield b"o"
        raise RuntimeError("broken")

    wrapped = LoadReportMiddleware(app)
    with pytest.raises(RuntimeError, match="broken"):
        Server().call(wrapped)
    assert (wrapped.load.in_flight, wrapped.load.done, wrapped.load.failed) == (0, 1, 1)


def test_a_file_stays_a_file(tmp_path: Any) -> None:
    """So that the server may send it by itself."""
    file = tmp_path / "file"
    file.write_bytes(b"contents")
    returned: list[FileWrapper] = []

    def app(environ: Any, start: Start) -> Iterable[bytes]:
        start(*OK)
        assert environ["wsgi.file_wrapper"] is FileWrapper
        returned.append(FileWrapper(file.open("rb")))
        return returned[0]

    wrapped, server = LoadReportMiddleware(app), Server()
    result = wrapped({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.file_wrapper": FileWrapper}, server.start)
    assert result is returned[0]
    assert server.report.in_flight == 1.0
    assert wrapped.load.in_flight == 0
    returned[0].close()


def test_what_the_app_returned_is_closed_once() -> None:
    class Result:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"ok"])

        def close(self) -> None:
            Result.closed += 1

    def app(environ: Any, start: Start) -> Iterable[bytes]:
        start(*OK)
        return Result()

    Server().call(LoadReportMiddleware(app))
    assert Result.closed == 1


def test_the_load_endpoint() -> None:
    wrapped, server = LoadReportMiddleware(lists), Server()
    server.call(wrapped, "/load")
    ((status, headers),) = server.heads
    assert (status, dict(headers)["Content-Length"]) == ("200 OK", str(len(server.body)))
    assert parse_body(server.body) is not None
    assert json.loads(server.body)["named_metrics"]["rif"] == 0
    assert wrapped.load.done == 0


@pytest.mark.parametrize("header", ["HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"])
def test_clients_behind_a_proxy_are_not_told(header: str) -> None:
    server = Server()
    server.call(LoadReportMiddleware(lists), "/load", **{header: "somebody"})
    assert server.body == b"ok"


def test_the_path_can_be_none() -> None:
    server = Server()
    server.call(LoadReportMiddleware(lists, path=None), "/load")
    assert server.body == b"ok"


def test_it_is_valid_on_both_sides() -> None:
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": _Input(),
        "wsgi.errors": _Errors(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }

    def typed(environ: Any, start: Start) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        yield b"ok"

    server = Server()
    result = validator(LoadReportMiddleware(validator(typed)))(environ, lambda *head: server.start(*head))
    assert b"".join(result) == b"ok"
    result.close()  # type: ignore[attr-defined]


class _Input:
    def read(self, *_: Any) -> bytes:
        return b""

    def readline(self, *_: Any) -> bytes:
        return b""

    def readlines(self, *_: Any) -> list[bytes]:
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class _Errors:
    def flush(self) -> None: ...

    def write(self, _: str) -> None: ...

    def writelines(self, _: Iterable[str]) -> None: ...
