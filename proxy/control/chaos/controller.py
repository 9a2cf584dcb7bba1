"""Experiments: started if nothing speaks against it, watched, ended in time, and written down.

Law of this file: first it is written down, then it is done. All effects of an experiment are undone in `_end`, however
it ends; its rules also end by themselves, in case this process does not live to do that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any

from ...configuration.sections.chaos import ChaosSection, experiment_of
from ...errors import ChaosRefused, QantaraError
from ...features.chaos import Rule, Tally
from ...features.chaos.experiment import OFF_PATH, Experiment, from_json
from .audit import Audit
from .contract import ChaosTarget, ExperimentClock, Sample
from .guard import Guard, State, between
from .safety import Targets, draw, objections

log = logging.getLogger("qantara")

BASELINE = 60
"""Samples that are kept, one per tick, for what was usual before an experiment."""
SEEDS = 1 << 31


class Run:
    """One experiment that is going on."""

    def __init__(
        self, run_id: str, experiment: Experiment, who: str, seed: int, dry_run: bool, targets: Targets
    ) -> None:
        self.id = run_id
        self.experiment = experiment
        self.who = who
        self.seed = seed
        self.dry_run = dry_run
        self.targets = targets
        self.until = 0.0
        self.guard: Guard | None = None

    def rule(self, cap: float) -> Rule | None:
        """What the workers are to do, None if this is nothing for them."""
        if self.experiment.fault in OFF_PATH:
            return None
        addresses = [address for _, address in self.targets.backends]
        upstreams = tuple(sorted({upstream for upstream, _ in self.targets.backends}))
        experiment = self.experiment._replace(upstreams=upstreams or self.experiment.upstreams)
        most = 1.0 if experiment.at_backend else cap
        return experiment.rule(self.id, self.seed, self.until, most, addresses, self.dry_run)

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.id,
            "who": self.who,
            "experiment": self.experiment.as_json(),
            "dry_run": self.dry_run,
            "seed": self.seed,
            "targets": {"backends": self.targets.backends, "workers": self.targets.workers},
        }


class Controller:
    """All experiments of one proxy."""

    def __init__(
        self,
        settings: ChaosSection,
        target: ChaosTarget,
        clock: ExperimentClock,
        audit: Audit | None,
        dice: Random | None = None,
    ) -> None:
        self.settings = settings
        self.target = target
        self.clock = clock
        self.audit = audit
        self.dice = dice or Random()
        self.runs: dict[str, Run] = {}
        self.ended_at: float | None = None
        self.proven: set[str] = set()
        """Fingerprints of the experiments that a dry run has shown."""
        self.waiting: deque[str] = deque()
        """Experiments that are to be started as soon as they may."""
        self.samples: deque[Sample] = deque(maxlen=BASELINE)
        self._lock = asyncio.Lock()
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        if not self.settings.enabled:
            return
        self.waiting.extend(rule.name for rule in self.settings.rules if rule.start)
        for record in self.audit.read() if self.audit is not None else ():
            if record.get("event") == "end" and record.get("proven"):
                self.proven.add(str(record["proven"]))

    async def adopt(self, settings: ChaosSection, audit: Audit | None) -> None:
        """Adopt a changed configuration. A running experiment continues only if it is unchanged and still allowed."""
        if settings == self.settings:
            return
        async with self._lock:
            for run in list(self.runs.values()):
                await self._end(run, "stopped", "the configuration of chaos has changed")
            self.settings, self.audit = settings, audit
            self.waiting.clear()
            self._begin()

    # --- start and stop ---

    def named(self, name: str) -> Experiment:
        """An experiment of the configuration. Raises ChaosRefused."""
        for rule in self.settings.rules:
            if rule.name == name:
                return experiment_of(rule, self.settings.limits.duration)
        known = ", ".join(rule.name for rule in self.settings.rules)
        raise ChaosRefused(
            [f"there is no chaos rule {name!r}; " + (f"there are {known}" if known else "there are none")]
        )

    async def start(
        self,
        experiment: Experiment,
        who: str,
        *,
        dry_run: bool | None = None,
        seed: int | None = None,
        targets: Targets | None = None,
    ) -> Run:
        """Run an experiment; dry, if the configuration says so and `dry_run` says nothing. `targets` are those of a run
        that is repeated. Raises ChaosRefused with everything that speaks against it."""
        async with self._lock:
            dry_run = self.settings.dry_run if dry_run is None else dry_run
            seed = self.dice.randrange(SEEDS) if seed is None else seed
            upstreams, workers = self.target.upstreams(), self.target.workers()
            if targets is None:
                targets = draw(experiment, self.settings, upstreams, workers, seed)
            refusals = [*objections(experiment, self.settings, upstreams, workers, targets)]
            refusals += self._untimely(experiment, dry_run)
            self._number += 1
            run_id = f"{self.clock.now():%Y%m%dT%H%M%S}-{self._number}-{experiment.name}"
            run = Run(run_id, experiment, who, seed, dry_run, targets)
            if refusals:
                self._note({"event": "refused", **run.as_json(), "why": refusals})
                raise ChaosRefused(refusals)
            await self._go(run)
            return run

    def _untimely(self, experiment: Experiment, dry_run: bool) -> list[str]:
        """What speaks against it now."""
        limits, found = self.settings.limits, []
        if len(self.runs) >= limits.concurrent:
            found.append(f"{', '.join(self.runs)} is going on; chaos.limits.concurrent is {limits.concurrent}")
        left = 0.0 if self.ended_at is None else self.ended_at + limits.cool_down - self.clock.monotonic()
        if left > 0 and not dry_run:
            found.append(f"the last experiment has ended just now; wait {left:.0f} s (chaos.limits.cool_down)")
        if not dry_run and experiment.fingerprint() not in self.proven and not self.settings.i_understand:
            found.append("it has not been shown by a dry run yet, one that met a request; run it dry first")
        state = self.baseline()
        if not dry_run and state.error_rate > limits.error_rate:
            found.append(f"{state.error_rate:.2%} of the responses are errors already")
        return found

    async def _go(self, run: Run) -> None:
        if self.audit is None:
            raise ChaosRefused(["there is no audit log; set chaos.audit"])
        baseline = self.baseline()
        start = self.target.sample()
        run.until = self.clock.monotonic() + run.experiment.duration
        run.guard = Guard(self.settings.limits, baseline, start)
        record = {"event": "start", **run.as_json(), "before": baseline.as_json()}
        try:
            self._write(record)
        except OSError as error:
            raise ChaosRefused([f"the audit log cannot be written: {error}"]) from error
        self.runs[run.id] = run
        try:
            await self._set_rules()
            await self._off_path(run)
        except Exception as error:
            log.exception("chaos %s could not be started", run.id)
            await self._end(run, "failed", str(error))
            raise
        log.warning("chaos %s: %s%s started by %s", run.id, run.experiment.fault, self._dry(run), run.who)

    @staticmethod
    def _dry(run: Run) -> str:
        return " (dry run)" if run.dry_run else ""

    async def stop(self, who: str) -> int:
        """End everything now. Returns how many experiments that were."""
        async with self._lock:
            runs = list(self.runs.values())
            self.waiting.clear()
            for run in runs:
                await self._end(run, "stopped", f"by {who}")
            return len(runs)

    async def replay(self, run_id: str, who: str, dry_run: bool | None = None) -> Run:
        """Repeat a run of the audit log: the same experiment, seed and targets. Raises ChaosRefused."""
        for record in self.audit.read() if self.audit is not None else ():
            if record.get("event") == "start" and record.get("run") == run_id:
                hit = record["targets"]
                targets = Targets(tuple((each[0], each[1]) for each in hit["backends"]), tuple(hit["workers"]))
                experiment = from_json(record["experiment"])
                return await self.start(experiment, who, dry_run=dry_run, seed=record["seed"], targets=targets)
        raise ChaosRefused([f"there is no run {run_id!r} in the audit log"])

    # --- while it goes on ---

    async def tick(self) -> None:
        """Once per second: end what is over, stop what does harm, start what waits."""
        now, sample = self.clock.monotonic(), self.target.sample()
        async with self._lock:
            for run in list(self.runs.values()):
                over = now >= run.until
                why = self._harm(run, sample, over)
                if why:
                    await self._end(run, "stopped", why)
                elif over:
                    await self._end(run, "passed", "the steady state has held")
        if not self.runs:
            self.samples.append(sample)  # what is usual is only known while nothing is injected
        if self.waiting and not self.runs:
            await self._start_waiting()

    def _harm(self, run: Run, sample: Sample, over: bool) -> str:
        assert run.guard is not None
        why = run.guard.look(sample, over)
        if run.dry_run:
            return ""  # it changes nothing, so nothing is its fault
        for name, upstream in self.target.upstreams().items():
            if upstream.panicking and (not run.experiment.upstreams or name in run.experiment.upstreams):
                return f"upstream {name} panics"
        return why

    async def _start_waiting(self) -> None:
        name = self.waiting[0]
        left = 0.0 if self.ended_at is None else self.ended_at + self.settings.limits.cool_down
        if left > self.clock.monotonic():
            return
        self.waiting.popleft()
        try:
            await self.start(self.named(name), "the configuration")
        except QantaraError as error:
            log.warning("chaos %s is not started: %s", name, error)

    def baseline(self) -> State:
        """What was usual lately, while nothing was going on."""
        if len(self.samples) < 2:
            return State(0.0, 0, 0, 0.0)
        return between(*self.samples)

    # --- the end ---

    async def _end(self, run: Run, verdict: str, why: str) -> None:
        """Undo what an experiment did, and write down what came of it."""
        tally = await self._tally(run)
        del self.runs[run.id]
        undone: list[str] = []
        for undo in (self._set_rules(), self._undo(run)):
            try:
                await undo
            except Exception as error:
                log.exception("chaos %s could not be undone; its rules end by themselves", run.id)
                undone.append(str(error))
        if not run.dry_run:
            self.ended_at = self.clock.monotonic()
            self.samples.clear()  # the difference to what was before it would hold the experiment itself
        record = {"event": "end", **run.as_json(), "verdict": verdict, "why": why}
        if tally is not None:
            record["tally"] = tally._asdict()
        if run.guard is not None:
            record |= {"before": run.guard.baseline.as_json(), "after": run.guard.result().as_json()}
        if undone:
            record["not_undone"] = undone
        if run.dry_run and verdict != "failed" and (tally is None or tally.matched):
            record["proven"] = run.experiment.fingerprint()
            self.proven.add(record["proven"])
        self._note(record)
        log.warning("chaos %s%s: %s, %s", run.id, self._dry(run), verdict, why)

    async def _tally(self, run: Run) -> Tally | None:
        if run.experiment.fault in OFF_PATH:
            return None
        try:
            return (await self.target.tallies()).get(run.id, Tally(0, 0, 0))
        except Exception:
            log.exception("chaos %s: how often it has struck is not known", run.id)
            return Tally(0, 0, 0)

    async def _set_rules(self) -> None:
        rules = (run.rule(self.settings.limits.traffic) for run in self.runs.values())
        await self.target.set_rules([rule for rule in rules if rule is not None])

    async def _off_path(self, run: Run) -> None:
        experiment = run.experiment
        if run.dry_run:
            for target in _described(run.targets) if experiment.fault in OFF_PATH else ():
                log.info("chaos %s (dry run): %s for %s", run.id, experiment.fault, target)
            return
        if experiment.fault == "worker_kill":
            for slot in run.targets.workers:
                await self.target.kill_worker(slot)
        for upstream, address in run.targets.backends:
            if experiment.fault == "backend_drain":
                await self.target.set_backend_state(upstream, address, "drain")
            elif experiment.fault == "health_lie":
                await self.target.lie(upstream, address, experiment.healthy, run.until)

    async def _undo(self, run: Run) -> None:
        if run.dry_run:
            return
        for upstream, address in run.targets.backends:
            if run.experiment.fault == "backend_drain":
                await self.target.set_backend_state(upstream, address, "ready")
            elif run.experiment.fault == "health_lie":
                await self.target.lie(upstream, address, None, 0.0)

    # --- the audit log ---

    def _write(self, record: dict[str, Any]) -> None:
        if self.audit is not None:
            self.audit.write({"at": self.clock.now().isoformat(), **record})

    def _note(self, record: dict[str, Any]) -> None:
        """Write down what has happened already, if that is possible."""
        try:
            self._write(record)
        except OSError:
            log.exception("chaos: the audit log cannot be written")

    def report(self) -> dict[str, Any]:
        """What is going on, and what could."""
        now = self.clock.monotonic()
        going = [{**run.as_json(), "seconds_left": round(run.until - now, 1)} for run in self.runs.values()]
        rules = [experiment_of(rule, self.settings.limits.duration) for rule in self.settings.rules]
        known = [{**each.as_json(), "shown_by_dry_run": each.fingerprint() in self.proven} for each in rules]
        return {"enabled": self.settings.enabled, "running": going, "rules": known, "waiting": list(self.waiting)}


def _described(targets: Targets) -> Iterable[str]:
    yield from (f"{upstream}/{address}" for upstream, address in targets.backends)
    yield from (f"worker {slot}" for slot in targets.workers)
