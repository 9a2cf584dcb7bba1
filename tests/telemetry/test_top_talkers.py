"""Who asks the most: the top is found among very many names, memory is bounded, what is past fades."""

from __future__ import annotations

from random import Random

from proxy.telemetry.top_talkers import HALF_LIFE, PLACES, Count, Sketch, Talkers, merged, place, top
from tests.support.origin import request, response
from tests.support.path import GET, path

ONE = Count(1.0, 10.0, 0.0)


def test_the_top_is_found_among_very_many_and_memory_is_bounded() -> None:
    sketch: Sketch = {}
    names = ["big"] * 300 + ["middle"] * 150 + [f"small {n}" for n in range(5000)]
    Random(1).shuffle(names)
    for name in names:
        place(sketch, name).add(1.0, 10.0, 0.0)
    assert len(sketch) == PLACES
    found = top(sketch, 2)
    assert [name for name, _, _ in found] == ["big", "middle"]
    smallest = min(count.requests for count in sketch.values())
    assert 300 <= found[0][1].requests <= 300 + smallest


def test_what_several_workers_have_counted_is_added() -> None:
    found = merged([{"a": Count(2.0, 20.0, 1.0)}, {"a": ONE, "b": ONE}, {}])
    assert found == {"a": Count(3.0, 30.0, 1.0), "b": ONE}
    assert [(name, share) for name, _, share in top(found, 5)] == [("a", 0.75), ("b", 0.25)]
    assert top({}, 5) == []


async def test_a_sample_of_the_requests_is_counted_under_all_its_names() -> None:
    async with path([request(), response(b"ok")], forever=True) as way:
        for _ in range(1 + 64):
            await way.client.request(GET)
        sketches = way.proxy.talkers.sketches
        assert {name: sketch.keys() for name, sketch in sketches.items()} == {
            "client": {"127.0.0.1"},
            "host": {"x"},
            "path": {"/"},
            "route": {"/"},
            "upstream": {"app"},
        }
        assert sketches["client"]["127.0.0.1"].requests == 2.0


async def test_what_is_no_request_is_counted_under_its_client_alone() -> None:
    async with path([request(), response(b"ok")]) as way:
        assert (await way.client.request(b"nonsense\r\n\r\n")).status == 400
        sketches = way.proxy.talkers.sketches
        assert sketches["client"]["127.0.0.1"].requests == 1.0
        assert not sketches["path"]


async def test_what_is_past_fades() -> None:
    async with path([request(), response(b"ok")]) as way:
        await way.client.request(GET)
        talkers: Talkers = way.proxy.talkers
        began = talkers.halved
        for number in range(1, 5):
            talkers._halve(began + number * HALF_LIFE)
        assert not talkers.sketches["client"]
