"""Who is struck: the same requests for the same seed, no more than the share, nobody after the end."""

from __future__ import annotations

import pickle
from random import Random

import pytest

from proxy.features.chaos import Delay, Rule
from proxy.features.chaos.rules import AT_BACKEND, FORWARD, REASONS, STAGES_OF, ActiveRule
from proxy.pipeline import STAGES
from proxy.routing import HeaderCondition
from tests.features.chaos.injected import asked, rule


def struck(live: ActiveRule, times: int = 1000) -> list[int]:
    x = asked()
    return [n for n in range(times) if live.strikes(x)]


def test_the_same_seed_strikes_the_same_requests() -> None:
    hit = rule("send", "abort", share=0.2, seed=7)
    assert struck(ActiveRule(hit, 1)) == struck(ActiveRule(hit, 1))
    assert struck(ActiveRule(hit, 1)) != struck(ActiveRule(hit, 2)), "workers do not strike alike"
    assert struck(ActiveRule(hit, 1)) != struck(ActiveRule(hit._replace(seed=8), 1))


def test_what_a_delay_draws_changes_nobody_elses_fate() -> None:
    hit = rule("send", "delay", share=0.5, seed=7, delay=Delay(0.1, jitter=0.05))
    one, other = ActiveRule(hit, 1), ActiveRule(hit, 1)
    for _ in range(100):
        one.seconds()
    assert struck(one) == struck(other)


def test_the_share_is_kept() -> None:
    assert 150 <= len(struck(ActiveRule(rule("send", "abort", share=0.2), 1))) <= 250


def test_the_cap_counts_everything_that_passes() -> None:
    live = ActiveRule(rule("send", "abort", cap=0.1), 1)
    assert len(struck(live)) == 100
    assert live.tally() == (1000, 1000, 100)


def test_one_may_always_be_struck() -> None:
    assert struck(ActiveRule(rule("send", "abort", cap=0.001), 1), 10) == [0]


def test_nobody_is_struck_after_the_end() -> None:
    live = ActiveRule(rule("send", "abort", lives=-1.0), 1)
    assert struck(live, 10) == []
    assert live.tally() == (0, 0, 0)


def test_nobody_is_struck_when_it_is_off() -> None:
    live = ActiveRule(rule("send", "abort"), 1)
    live.off = True
    assert struck(live, 10) == []
    assert live.left() == 0.0


def test_a_dry_run_tells_and_strikes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "qantara")
    live = ActiveRule(rule("send", "abort", dry_run=True, id="try"), 1)
    assert struck(live, 100) == []
    assert live.tally() == (100, 100, 100)
    assert caplog.messages == ["chaos try (dry run): abort at send for b'/'"] * 10


def test_what_does_not_match_is_seen_only() -> None:
    live = ActiveRule(rule("send", "abort", methods=frozenset([b"POST"]), prefix=b"/a"), 1)
    for x in (asked(), asked(b"POST"), asked(b"POST", b"/a/b")):
        live.strikes(x)
    assert live.tally() == (3, 1, 1)


@pytest.mark.parametrize(
    ("delay", "least", "most"),
    [
        (Delay(0.5), 0.5, 0.5),
        (Delay(0.5, jitter=0.2), 0.3, 0.7),
        (Delay(0.1, jitter=0.5), 0.0, 0.6),
        (Delay(0.5, pareto=1.5), 0.5, 60.0),
        (Delay(0.5, pareto=0.1, most=3.0), 0.5, 3.0),
    ],
    ids=str,
)
def test_delays_stay_within_their_bounds(delay: Delay, least: float, most: float) -> None:
    dice = Random(1)
    drawn = [delay.draw(dice) for _ in range(1000)]
    assert least <= min(drawn) <= max(drawn) <= most
    assert len(set(drawn)) > 1 or least == most


def test_a_delay_is_no_longer_than_the_rule() -> None:
    assert ActiveRule(rule("send", "delay", delay=Delay(30.0), lives=1.0), 1).seconds() <= 1.0


def test_a_rule_can_be_sent_to_a_worker() -> None:
    hit = rule("send", "abort", headers=(HeaderCondition(b"a"),), delay=Delay(1.0))
    assert pickle.loads(pickle.dumps(hit)) == hit
    assert isinstance(hit, Rule)


def test_the_words_are_those_of_the_pipeline() -> None:
    assert tuple(REASONS) == STAGES
    assert (*FORWARD, "relay", "store", "finish") == STAGES
    assert set(AT_BACKEND) < set(STAGES)
    assert {stage for stages in STAGES_OF.values() for stage in stages} == set(STAGES)
