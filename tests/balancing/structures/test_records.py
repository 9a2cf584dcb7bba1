"""Records: who owns one, what a failure does to it."""

from __future__ import annotations

import pytest

from proxy.balancing.base import ANSWERED, CANCELLED, FAILED
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.structures.records import BackendRecord, key_of, records_of

from ..members import backends


def test_a_record_stays_with_its_backend_and_goes_to_the_latest() -> None:
    members, old, new = backends(1, 1), RoundRobin(), RoundRobin()
    before = records_of(old, "x", members, [])
    after = records_of(new, "x", members[1:], [])
    assert after == before[1:]
    assert [(record.owner, record.place) for record in before] == [(old, 0), (new, 0)]
    assert members[1].learned == {"x": after[0]}


def test_who_is_no_member_any_more_has_no_place() -> None:
    members, owner, other = backends(1, 1, 1), RoundRobin(), RoundRobin()
    before = records_of(owner, "x", members, [])
    records_of(other, "x", members[2:], [])
    after = records_of(owner, "x", members[:1], before)
    assert [record.owner for record in before] == [owner, None, other]
    assert after == before[:1]


def test_in_a_part_of_an_upstream_records_have_another_name() -> None:
    balancer = RoundRobin()
    assert key_of(balancer) == "round_robin"
    balancer.scope = "version=canary"
    assert key_of(balancer) == "round_robin (version=canary)"


def test_failing_is_the_share_of_failures_of_late() -> None:
    record = BackendRecord()
    for _ in range(100):
        record.judge(FAILED)
    assert record.failing == pytest.approx(1.0, abs=1e-3)
    record.judge(CANCELLED)
    assert record.failing == pytest.approx(1.0, abs=1e-3)
    for _ in range(10):
        record.judge(ANSWERED)
    assert record.failing == pytest.approx(0.9**10, rel=1e-3)


def test_one_failure_in_a_hundred_is_one_percent() -> None:
    record, seen = BackendRecord(), []
    for n in range(10_000):
        record.judge(ANSWERED if n % 100 else FAILED)
        seen.append(record.failing)
    assert sum(seen) / len(seen) == pytest.approx(0.01, rel=0.02)
