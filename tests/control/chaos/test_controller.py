"""Experiments: what has to be so before one runs, what ends it, and that everything is undone and written down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.control.chaos.audit import Audit
from proxy.control.chaos.controller import Controller
from proxy.errors import ChaosRefused
from proxy.features.chaos import Tally
from proxy.features.chaos.experiment import Experiment
from tests.control.chaos.lab import ABORT, REFUSE, Lab, settings

NO_COOL_DOWN = "limits: {cool_down: 0s}"
LOOSE = "limits: {cool_down: 0s, error_rate: 50%}"
DRAIN = Experiment("drain", "backend_drain", upstreams=("app",))
KILL = Experiment("kill", "worker_kill")
LIE = Experiment("lie", "health_lie", upstreams=("app",))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Lab]:
    def lab(more: str = "", **sizes: int) -> Lab:
        return Lab(tmp_path, more, **sizes)

    return lab


async def refused(lab: Lab, experiment: Experiment, dry_run: bool | None = None) -> str:
    before = list(lab.target.did)
    with pytest.raises(ChaosRefused) as error:
        await lab.controller.start(experiment, "me", dry_run=dry_run)
    assert lab.last()["event"] == "refused"
    assert lab.target.did == before
    return str(error.value)


# --- dry run first -------------------------------------------------------------------------------------


async def test_a_run_is_dry_if_nobody_says_otherwise(make: Callable[..., Lab]) -> None:
    lab = make()
    run = await lab.controller.start(ABORT, "me")
    assert run.dry_run
    assert [rule.dry_run for rule in lab.target.rules] == [True]


async def test_a_wet_run_needs_a_dry_one_before(make: Callable[..., Lab]) -> None:
    lab = make()
    assert "has not been shown by a dry run" in await refused(lab, ABORT, False)
    await lab.prove(ABORT)
    run = await lab.controller.start(ABORT, "me", dry_run=False)
    assert [(rule.id, rule.dry_run) for rule in lab.target.rules] == [(run.id, False)]


async def test_a_dry_run_that_met_no_request_has_shown_nothing(make: Callable[..., Lab]) -> None:
    lab = make()
    lab.target.struck = Tally(10, 0, 0)
    await lab.prove(ABORT)
    assert "dry run" in await refused(lab, ABORT, False)


async def test_another_experiment_is_not_shown_by_it(make: Callable[..., Lab]) -> None:
    lab = make()
    await lab.prove(ABORT)
    assert "dry run" in await refused(lab, ABORT._replace(status=500), False)


async def test_i_understand_lifts_it(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    assert not (await lab.controller.start(ABORT, "me", dry_run=False)).dry_run


async def test_dry_runs_are_remembered_over_a_restart(make: Callable[..., Lab]) -> None:
    lab = make()
    await lab.prove(ABORT)
    again = Controller(lab.settings, lab.target, lab.clock, lab.audit)
    await again.start(ABORT, "me", dry_run=False)


async def test_a_dry_run_off_the_path_does_nothing(make: Callable[..., Lab], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "qantara")
    for experiment in (DRAIN, KILL, LIE):
        lab = make()
        await lab.controller.start(experiment, "me")
        await lab.controller.stop("me")
        assert {each[0] for each in lab.target.did} == {"set_rules"}
        assert f"(dry run): {experiment.fault} for" in caplog.text


# --- when it may run -----------------------------------------------------------------------------------


async def test_one_at_a_time(make: Callable[..., Lab]) -> None:
    lab = make()
    run = await lab.controller.start(ABORT, "me")
    assert run.id in await refused(lab, ABORT)
    assert list(lab.controller.runs) == [run.id]


async def test_a_pause_between_two(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.controller.start(ABORT, "me", dry_run=False)
    await lab.controller.stop("me")
    assert "wait 600 s" in await refused(lab, ABORT, False)
    await lab.controller.start(ABORT, "me", dry_run=True)  # which harms nobody
    await lab.controller.stop("me")
    lab.clock.seconds += 600
    await lab.controller.start(ABORT, "me", dry_run=False)


async def test_not_during_an_outage(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.pass_time(5, errors=2)
    assert "2.00% of the responses are errors already" in await refused(lab, ABORT, False)


async def test_all_that_speaks_against_it_is_said_at_once(make: Callable[..., Lab]) -> None:
    lab = make("environment: production")
    said = await refused(lab, ABORT._replace(duration=120.0), False)
    assert "'production'" in said
    assert "120 s" in said
    assert "dry run" in said


async def test_what_cannot_be_written_down_is_not_run(make: Callable[..., Lab], tmp_path: Path) -> None:
    lab = make()
    lab.controller.audit = Audit(tmp_path / "missing" / "audit.jsonl")
    with pytest.raises(ChaosRefused, match="audit log"):
        await lab.controller.start(ABORT, "me")
    lab.controller.audit = None
    with pytest.raises(ChaosRefused, match="no audit log"):
        await lab.controller.start(ABORT, "me")
    assert lab.target.did == []
    assert lab.controller.runs == {}


# --- what it does --------------------------------------------------------------------------------------


async def test_a_fault_at_a_backend_hits_only_those_that_were_drawn(make: Callable[..., Lab]) -> None:
    lab = make(NO_COOL_DOWN + ", i_understand: true", app=40, other=3)
    await lab.controller.start(REFUSE, "me", dry_run=False, seed=4)
    (rule,) = lab.target.rules
    assert (rule.upstreams, len(rule.backends), rule.cap) == (frozenset(["app"]), 2, 1.0)


async def test_a_fault_before_the_backend_is_capped(make: Callable[..., Lab]) -> None:
    lab = make()
    await lab.controller.start(ABORT, "me")
    assert lab.target.rules[0].cap == 0.1


async def test_the_rule_ends_by_itself_when_the_experiment_does(make: Callable[..., Lab]) -> None:
    lab = make()
    run = await lab.controller.start(ABORT._replace(duration=5.0), "me")
    assert lab.target.rules[0].until == run.until == lab.clock.seconds + 5.0


@pytest.mark.parametrize(
    ("experiment", "done", "undone"),
    [(DRAIN, "drain", "ready"), (LIE, False, None), (LIE._replace(healthy=True), True, None)],
    ids=["drain", "lie: bad", "lie: good"],
)
async def test_what_is_done_off_the_path_is_undone(
    make: Callable[..., Lab], experiment: Experiment, done: object, undone: object
) -> None:
    lab = make("i_understand: true")
    run = await lab.controller.start(experiment, "me", dry_run=False)
    ((upstream, address),) = run.targets.backends
    await lab.controller.stop("me")
    told = [each for each in lab.target.did if each[0] in ("state", "lie")]
    assert [each[1:] for each in told] == [(upstream, address, done), (upstream, address, undone)]


async def test_a_worker_is_killed_once(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    run = await lab.controller.start(KILL, "me", dry_run=False)
    await lab.pass_time(61)
    assert [each for each in lab.target.did if each[0] == "kill_worker"] == [("kill_worker", run.targets.workers[0])]


# --- how it ends ---------------------------------------------------------------------------------------


async def test_it_passes_if_the_steady_state_holds(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.pass_time(30)
    await lab.controller.start(ABORT, "me", dry_run=False)
    await lab.pass_time(59)
    assert lab.controller.runs
    await lab.pass_time(1)
    assert (lab.controller.runs, lab.target.rules) == ({}, [])
    end = lab.last()
    assert (end["verdict"], end["tally"]) == ("passed", {"seen": 10, "matched": 10, "struck": 1})
    assert end["before"]["requests"] == 2900
    assert end["after"]["requests"] == 6000


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ({"errors": 2}, "2.00% errors"),
        ({"latency": 0.05}, "p99"),
        ({"gone": 2}, "20 clients that left"),
        ({"requests": 90, "stall": 10}, "10 without an answer"),
        ({"requests": 0, "stall": 1}, "100.00% errors"),
    ],
    ids=["errors", "latency", "clients that leave", "a tenth stalls", "everything stalls"],
)
async def test_the_guard_stops_it(make: Callable[..., Lab], trouble: dict[str, float], why: str) -> None:
    lab = make("i_understand: true")
    await lab.pass_time(30)
    await lab.controller.start(ABORT, "me", dry_run=False)
    await lab.pass_time(9, **trouble)  # type: ignore[arg-type]
    assert lab.controller.runs, "it has to last for 10 s"
    await lab.pass_time(1, **trouble)  # type: ignore[arg-type]
    assert not lab.controller.runs
    assert lab.target.rules == []
    assert lab.last()["verdict"] == "stopped"
    assert why in lab.last()["why"]


async def test_trouble_that_passes_stops_nothing(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.pass_time(30)
    await lab.controller.start(ABORT, "me", dry_run=False)
    await lab.pass_time(12)
    await lab.pass_time(1, errors=5)
    await lab.pass_time(20)
    assert lab.controller.runs


async def test_one_that_is_shorter_than_the_guard_looks_back_is_judged_at_its_end(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.pass_time(30)
    for trouble, verdict in (({}, "passed"), ({"gone": 50}, "stopped"), ({"stall": 50}, "stopped")):
        lab.controller.ended_at = None
        await lab.controller.start(ABORT._replace(duration=3.0), "me", dry_run=False)
        await lab.pass_time(3, **trouble)
        assert not lab.controller.runs
        assert lab.last()["verdict"] == verdict


async def test_what_is_usual_is_learned_anew_after_an_experiment(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.pass_time(30)
    await lab.controller.start(ABORT, "me", dry_run=False)
    await lab.pass_time(10, errors=50, gone=50)
    assert not lab.controller.runs
    await lab.pass_time(5)
    assert (lab.controller.baseline().requests, lab.controller.baseline().errors) == (500, 0)


async def test_panic_stops_it_at_once(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.controller.start(REFUSE, "me", dry_run=False)
    lab.target.ill("app", *range(15), panicking=True)
    await lab.pass_time(1)
    assert lab.last()["why"] == "upstream app panics"


async def test_a_dry_run_is_not_stopped_by_troubles_of_others(make: Callable[..., Lab]) -> None:
    lab = make()
    await lab.pass_time(5)
    await lab.controller.start(ABORT, "me")
    await lab.pass_time(20, errors=50)
    assert lab.controller.runs


async def test_stop_ends_everything(make: Callable[..., Lab]) -> None:
    lab = make("limits: {concurrent: 3}")
    for _ in range(3):
        await lab.controller.start(ABORT, "me")
    assert await lab.controller.stop("you") == 3
    assert (lab.controller.runs, lab.target.rules) == ({}, [])
    assert [record["why"] for record in lab.events("end")] == ["by you"] * 3
    assert await lab.controller.stop("you") == 0


@pytest.mark.parametrize("fails", ["set_rules", "state"])
async def test_what_cannot_be_started_is_undone(make: Callable[..., Lab], fails: str) -> None:
    lab = make("i_understand: true")
    lab.target.fails.add(fails)
    with pytest.raises(OSError, match="does not work"):
        await lab.controller.start(DRAIN, "me", dry_run=False)
    assert lab.controller.runs == {}
    assert lab.last()["verdict"] == "failed"
    assert lab.target.did[-1][0] == "state", "every way back was tried"


async def test_what_cannot_be_undone_is_written_down(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true")
    await lab.controller.start(DRAIN, "me", dry_run=False)
    lab.target.fails.add("state")
    await lab.controller.stop("me")
    assert lab.last()["not_undone"] == ["state does not work"]
    assert lab.controller.runs == {}


async def test_an_end_that_cannot_be_written_down_is_an_end(make: Callable[..., Lab], tmp_path: Path) -> None:
    lab = make("i_understand: true")
    await lab.controller.start(ABORT, "me", dry_run=False)
    lab.controller.audit = Audit(tmp_path / "missing" / "audit.jsonl")
    await lab.controller.stop("me")
    assert (lab.controller.runs, lab.target.rules) == ({}, [])


async def test_a_new_configuration_stops_it(make: Callable[..., Lab]) -> None:
    lab = make()
    await lab.controller.start(ABORT, "me")
    await lab.controller.adopt(lab.settings, lab.audit)
    assert lab.controller.runs, "nothing has changed"
    await lab.controller.adopt(settings("environment: staging"), lab.audit)
    assert not lab.controller.runs


# --- by the configuration ------------------------------------------------------------------------------

RULES = "rules: [{name: one, fault: abort, stage: admit, start: true}, {name: two, fault: delay, start: true}]"


async def test_rules_that_say_so_are_started_one_after_the_other(make: Callable[..., Lab]) -> None:
    lab = make(RULES)
    await lab.pass_time(61)
    await lab.pass_time(62)
    assert [record["experiment"]["name"] for record in lab.events("start")] == ["one", "two"]
    assert {record["who"] for record in lab.events()} == {"the configuration"}


async def test_one_that_is_refused_keeps_none_from_starting(make: Callable[..., Lab]) -> None:
    lab = make(RULES.replace("stage: admit", "match: {upstreams: [app]}, duration: 5m"))
    await lab.pass_time(3)
    assert [record["event"] for record in lab.events()] == ["refused", "start"]


def test_rules_have_names(make: Callable[..., Lab]) -> None:
    lab = make(RULES)
    assert lab.controller.named("two").fault == "delay"
    with pytest.raises(ChaosRefused, match="there are one, two"):
        lab.controller.named("three")


def test_the_report_tells_what_could_run(make: Callable[..., Lab]) -> None:
    report = make(RULES).controller.report()
    assert [(rule["name"], rule["shown_by_dry_run"]) for rule in report["rules"]] == [("one", False), ("two", False)]
    assert report["running"] == []


# --- again ---------------------------------------------------------------------------------------------


async def test_a_run_can_be_repeated_from_the_audit_log(make: Callable[..., Lab]) -> None:
    lab = make("i_understand: true, " + LOOSE, app=60)
    first = await lab.controller.start(REFUSE._replace(headers=(("x-a", "1"),)), "me", dry_run=False)
    (before,) = lab.target.rules
    await lab.controller.stop("me")
    again = await lab.controller.replay(first.id, "you", dry_run=False)
    (after,) = lab.target.rules
    assert again.targets == first.targets
    assert after == before._replace(id=again.id, until=again.until)


async def test_only_what_is_in_the_audit_log_can_be_repeated(make: Callable[..., Lab]) -> None:
    with pytest.raises(ChaosRefused, match="no run 'x'"):
        await make().controller.replay("x", "me")
