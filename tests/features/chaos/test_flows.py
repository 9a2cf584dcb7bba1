"""The events of a response: in order, each once, none after the exchange went elsewhere."""

from __future__ import annotations

from typing import Any

from proxy.errors import RESPONSE_INCOMPLETE
from proxy.exchange import Exchange, ResponseStage
from proxy.features.chaos.flows import LateEnd, ResetEnd, Truncated
from proxy.features.chaos.rules import ActiveRule
from proxy.http1.codec import ResponseHead
from proxy.http1.framing import Trailers
from tests.features.chaos.injected import rule

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"


class Recorder(ResponseStage):
    """Takes down what arrives; `leaves` at the head, as a retry does."""

    def __init__(self, leaves: bool = False) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.leaves = leaves

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.events.append((head.status, complete))
        if self.leaves:
            x.wait = object()

    def data(self, x: Exchange, data: Any) -> None:
        self.events.append(bytes(data))

    def end(self, x: Exchange, trailers: Trailers) -> None:
        self.events.append("end")

    def failed(self, x: Exchange, reason: Any, silent: bool) -> None:
        self.events.append(reason.name)


def parsed(data: bytes) -> tuple[ResponseHead, int]:
    head = ResponseHead()
    head.max_size, head.max_count = 1000, 10
    head.parse(data, 0)
    return head, len(data)


def flow(kind: Any, recorder: Recorder, **about: Any) -> Any:
    live = ActiveRule(rule("relay", "truncate", **about), 0)
    return kind(Exchange(), set(), recorder, live)


def test_what_comes_after_the_exchange_went_elsewhere_is_dropped() -> None:
    recorder = Recorder(leaves=True)
    late = flow(LateEnd, recorder)
    held = late.held
    late.begin(*parsed(HEAD + b"abcdef"), True)
    assert recorder.events == [(200, False)]
    assert (held, late.x) == (set(), None)


def test_all_but_the_last_byte_goes_at_once() -> None:
    recorder = Recorder()
    late = flow(LateEnd, recorder)
    late.begin(*parsed(HEAD + b"ab"), False)
    late.data(b"c")
    late.data(memoryview(b"de"))
    assert recorder.events == [(200, False), b"a", b"b", b"c", b"d"]
    late.failed(RESPONSE_INCOMPLETE)
    assert recorder.events[5:] == ["relay.incomplete"]
    assert late.held == set()


def test_a_response_without_a_body_is_whole() -> None:
    for kind in (LateEnd, ResetEnd, Truncated):
        recorder = Recorder()
        flow(kind, recorder, size=0).begin(*parsed(HEAD), True)
        assert recorder.events == [(200, True)]


def test_a_body_of_just_the_size_is_not_cut() -> None:
    recorder = Recorder()
    cut = flow(Truncated, recorder, size=6)
    cut.begin(*parsed(HEAD + b"abc"), False)
    cut.data(b"def")
    cut.end(())
    assert recorder.events == [(200, False), b"abc", b"def", "end"]


async def test_one_byte_more_is() -> None:
    recorder = Recorder()
    cut = flow(Truncated, recorder, size=5)
    cut.begin(*parsed(HEAD + b"abc"), False)
    cut.data(b"def")
    assert recorder.events == [(200, False), b"abc", b"de"]
    cut.release()
    assert recorder.events[3:] == ["relay.chaos"]
    assert cut.held == set()
