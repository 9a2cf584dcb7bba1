"""Experiments as data: from the configuration, to the workers, into the audit log and back."""

from __future__ import annotations

import orjson
import pytest

from proxy.configuration.sections.chaos import ChaosRule, experiment_of
from proxy.features.chaos import Delay
from proxy.features.chaos.experiment import Experiment, from_json, malformed
from tests.control.chaos.lab import settings

FULL = (
    "rules: [{name: full, fault: delay, stage: relay, percentage: 25%, duration: 5s, delay: 50ms, jitter: 10ms, "
    "pareto: 1.5, status: 500, rate: 1KiB, after: 7, header: X-Version, match: {routes: [r], upstreams: [app], "
    "backends: ['10.0.0.0:80'], methods: [get], prefix: /api, headers: {X-Chaos: '*', X-User: ann}}}]"
)


def only(more: str) -> ChaosRule:
    (rule,) = settings(more).rules
    return rule


def test_everything_that_the_configuration_says_arrives() -> None:
    rule = experiment_of(only(FULL), 60.0).rule("run", 3, 100.0, 0.1, ["10.0.0.0:80"], True)
    assert (rule.id, rule.stage, rule.fault, rule.share, rule.until) == ("run", "relay", "delay", 0.25, 100.0)
    assert (rule.seed, rule.cap, rule.dry_run) == (3, 0.1, True)
    assert (rule.routes, rule.upstreams) == (frozenset(["r"]), frozenset(["app"]))
    assert (rule.backends, rule.methods, rule.prefix) == (frozenset(["10.0.0.0:80"]), frozenset([b"GET"]), b"/api")
    assert [(each.name, each.equals) for each in rule.headers] == [(b"x-chaos", None), (b"x-user", b"ann")]
    assert rule.delay == Delay(0.05, 0.01, 1.5, 3600.0)
    assert (rule.status, rule.rate, rule.size, rule.header) == (500, 1024, 7, b"x-version")


@pytest.mark.parametrize("more", [FULL, "rules: [{name: a, fault: reset}]", "rules: [{name: a, fault: worker_kill}]"])
def test_json_and_back(more: str) -> None:
    experiment = experiment_of(only(more), 60.0)
    assert from_json(orjson.loads(orjson.dumps(experiment.as_json()))) == experiment


@pytest.mark.parametrize(
    ("fault", "stage"),
    [
        ("delay", "accept"),
        ("connect_refused", "connect"),
        ("truncate", "relay"),
        ("slow_close", "finish"),
        ("worker_kill", ""),
        ("health_lie", ""),
        ("backend_drain", ""),
    ],
)
def test_each_fault_has_a_stage_of_its_own(fault: str, stage: str) -> None:
    assert experiment_of(only(f"rules: [{{name: a, fault: {fault}}}]"), 60.0).stage == stage


def test_the_fingerprint_tells_experiments_apart_not_their_names() -> None:
    one = Experiment("a", "delay", "send", delay=0.1)
    assert one.fingerprint() == one._replace(name="b", duration=5.0).fingerprint()
    for changed in (one._replace(delay=0.2), one._replace(stage="pick"), one._replace(upstreams=("app",))):
        assert one.fingerprint() != changed.fingerprint()


def test_what_is_no_experiment_is_refused() -> None:
    with pytest.raises(TypeError):
        from_json({"name": "a", "fault": "delay", "colour": "red"})


@pytest.mark.parametrize(
    ("experiment", "says"),
    [
        (Experiment("x", "worker_kill", "send"), "worker_kill happens at no stage; leave stage out"),
        (Experiment("x", "truncate", "send"), "truncate cannot happen at send; it can at relay"),
        (Experiment("x", "abort", "pick", backends=("a:1",)), "at pick no backend is picked yet; name backends at "),
        (Experiment("x", "corrupt_header", "relay"), "corrupt_header needs to know which: name it with header"),
        (Experiment("x", "corrupt_header", "relay", header="Content-Length"), "Content-Length frames the message; "),
    ],
    ids=lambda value: value.fault if isinstance(value, Experiment) else "",
)
def test_an_experiment_that_contradicts_itself(experiment: Experiment, says: str) -> None:
    (found,) = malformed(experiment)
    assert found.startswith(says)
