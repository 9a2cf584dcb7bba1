"""The promises of Skeleton, without a server and without an event loop: `python -m pytest test_skeleton.py`.

`StandalonePicker` does for an algorithm what the proxy does, in the same order: it counts a request in flight, then
calls `assigned`; counts it out, then calls `released`; and calls `tick`, by a clock that does not move here, so that
every run is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...balancing.base import Done
from ...balancing.standalone import StandalonePicker, StandaloneRequest, backend_at
from .skeleton import Skeleton


def picker_of(weights: Mapping[str, int]) -> StandalonePicker:
    """One that picks among backends with these weights."""
    return StandalonePicker(Skeleton(seed=1), weights, clock=lambda: 0.0)


def picked(picker: StandalonePicker, count: int) -> list[StandaloneRequest]:
    """`count` requests, in flight until their ends are reported."""
    found = [picker.pick() for _ in range(count)]
    return [request for request in found if request is not None]


def shares(requests: list[StandaloneRequest]) -> Counter[str]:
    return Counter(request.backend.name for request in requests)


def test_nothing_is_picked_without_a_backend() -> None:
    assert picker_of({}).pick() is None
    assert picker_of({"a:1": 0, "b:1": 0}).pick() is None


def test_only_backends_with_a_weight_are_picked() -> None:
    picker = picker_of({"a:1": 1, "b:1": 0, "c:1": 1})
    assert shares(picked(picker, 20)).keys() == {"a:1", "c:1"}
    picker.set_weight("a:1", 0)
    assert shares(picked(picker, 20)) == {"c:1": 20}


def test_backends_come_and_go() -> None:
    picker = picker_of({"a:1": 1})
    requests = picked(picker, 5)
    picker.set_backends(["b:1"])
    assert shares(picked(picker, 5)) == {"b:1": 5}
    for request in requests:  # at a backend that is gone
        request.answered(0.1)
    picker.set_backends([])
    assert picker.pick() is None


def test_requests_that_stay_are_shared_out_evenly() -> None:
    assert shares(picked(picker_of({"a:1": 1, "b:1": 1}), 40)) == {"a:1": 20, "b:1": 20}


def test_requests_are_shared_out_by_weight() -> None:
    assert shares(picked(picker_of({"a:1": 3, "b:1": 1}), 40)) == {"a:1": 30, "b:1": 10}


def test_a_backend_that_answers_gets_the_next() -> None:
    picker = picker_of({"a:1": 1, "b:1": 1})
    requests = picked(picker, 10)
    for request in requests:
        if request.backend.name == "a:1":
            request.answered(0.1)
    assert shares(picked(picker, 5)) == {"a:1": 5}


def test_over_many_requests_all_get_their_share() -> None:
    picker = picker_of({f"10.0.0.{n}:80": 1 for n in range(10)})
    found: Counter[str] = Counter()
    for _ in range(2000):
        request = picker.pick()
        assert request is not None
        found[request.backend.name] += 1
        request.answered(0.01)
    assert len(found) == 10
    assert all(130 < count < 270 for count in found.values())


def test_it_is_called_as_the_proxy_calls_it() -> None:
    """What `StandalonePicker` does, by hand. `pick` alone changes nothing: its caller counts requests in flight."""
    balancer, members = Skeleton(seed=1), [backend_at("a:1"), backend_at("b:1")]
    balancer.members(members, members, members)
    backend = balancer.pick(None)
    assert backend in members
    backend.in_flight += 1
    balancer.assigned(backend)
    other = balancer.pick(None)
    assert other in members
    assert other is not backend
    backend.in_flight -= 1
    balancer.released(backend, Done(seconds=0.01, now=0.01))
    assert balancer.explain()["backends"][backend.name] == {"picked": 1}
