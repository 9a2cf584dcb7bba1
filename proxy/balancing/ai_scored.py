"""ai_scored: learns the capacity of each backend, and picks the one with the least expected response time.

The score of each backend of a sample: requests in flight over the learned capacity (see ai_learned.py), which is the
slowdown of a further request; errors, as a penalty; silence, since a missing response is evidence too; and while
nothing better is known, reported CPU and memory (ai_features.py). Without reported costs it is latency times requests
in flight. A control group measures whether that helps; if it does not, power of two choices takes over (ai_guard.py).

Two modes. `local`: this proxy sends all of the load, so its own count of requests in flight is exact; the sample is
random. `fleet`: other proxies send to the same backends, so reports are the better count; the sample is the pool of the
latest reports (as in Prequal), and old ones count less. `auto` compares the two counts. A pick compares 16 backends at
most. Own work; the pool is Prequal's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..upstream.backend import Backend
from ..upstream.load.report import LoadReport
from .ai_features import Features
from .ai_guard import Contest
from .ai_learned import RESPONSES, Fleet, Learned
from .base import CANCELLED, FAILED, Balancer, Done
from .structures.probe_pool import PooledProbe, ProbePool, ProbeSchedule
from .structures.records import key_of
from .structures.sampling import Urn, dice

SLOPE = 0.1
"""The slope of the score below the capacity: of two backends without a slowdown the emptier one is a little better."""
BELIEVED = 0.1
"""The half-life of reported requests in flight, in seconds."""
REUSED = 1.32
"""Requests that one report may serve; Prequal's budget for 100 backends."""
SWEPT = 1000
"""Backends of one tick at most, which bounds its duration."""
MOSTLY = 0.5
OTHERS = 0.3
"""The share of other proxies in requests in flight from which on the mode is `fleet`."""
UNTRUE = 0.15
"""The share of late or wrong reports (fewer requests in flight than this proxy alone has) from which on none counts."""
LOOKOUT = 0.05
"""Probes per request in local mode of `auto`, to detect other proxies."""
CROWD = 3.0
"""The limit of a backend's requests in one sweep, as a multiple of its share."""
FULL_MEMORY = 0.95
TRACED = 63
"""One pick in 64 is kept for `explain`."""
MODES = ("auto", "local", "fleet")
MASK, FACTOR, ADDEND = 0xFFFFFFFFFFFFFFFF, 6364136223846793005, 1442695040888963407
"""A linear congruential generator (Knuth's MMIX): one random number becomes as many as a pick needs."""


class AiScored(Balancer):
    """The backend of a sample with the least expected response time."""

    name = "ai_scored"
    wants_reports = True

    def __init__(
        self,
        mode: str = "auto",
        choices: int = 8,
        probes: float = 3.0,
        control: float = 0.005,
        seed: int | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode: must be one of {', '.join(MODES)}, not {mode!r}")
        if not 2 <= choices <= 64:
            raise ValueError(f"choices: must be between 2 and 64 backends, not {choices}")
        if probes < 0:
            raise ValueError(f"probes: must be 0 or more per request, not {probes}")
        if not 0 <= control <= 0.5:
            raise ValueError(f"control: must be a share between 0 and 0.5 of the requests, not {control}")
        self.mode = mode
        self.choices = choices
        self.probes = probes
        self.control = control
        self.dice = dice(seed)
        self.urn = Urn(self.dice)
        self.states: list[Learned] = []
        self.known: dict[Backend, Learned] = {}
        self.pool = ProbePool(16, 1.0)
        self.asking = ProbeSchedule(probes, self.urn, self.dice)
        self.prober: Callable[[Backend], None] | None = None
        """Requests a report of a backend, which arrives in `reported`; without one reports come in responses only."""
        self.fleet = Fleet()
        self.contest = Contest()
        self.features = Features()
        self.now = 0.0
        self.swept = 0
        self.picked = 0
        """Picks since the last tick."""
        self.rate = 0.0
        """Recent requests per second and backend."""
        self.crowd = 1 << 30
        self.most = 0.0
        self.costed = 0.0
        """The share of responses with a reported cost; `by_cost`: whether that is above MOSTLY."""
        self.by_cost = False
        self.in_fleet = mode == "fleet"
        self.own = self.everybodys = 0.0
        """Requests in flight at the probed backends: those of this proxy, and all."""
        self.mean_load = 0.0
        self.untrue = 0.0
        """The share of reports below this proxy's own count, of those where it has requests."""
        self.turn = False
        self.tagging = False
        """Whether the latest pick belongs to the control group."""
        self.trace: list[tuple[str, float, float]] | None = None
        self.traces: list[tuple[float, str, list[tuple[str, float, float]]]] = []

    # --- members ---

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.urn.fill(usable)
        self.states = []
        mean = sum(backend.weight for backend in self.urn.members) / max(1, self.urn.size)
        key = key_of(self)
        for backend in self.urn.members:
            state = backend.learned.get(key)
            if state is None:
                state = backend.learned[key] = Learned(backend, self.fleet.capacity)
            state.share = backend.weight / mean
            state.settle()
            self.states.append(state)
        self.known = dict(zip(self.urn.members, self.states, strict=True))
        self.pool.keep_only(self.urn.members)
        self.swept = 0

    # --- picking ---

    def pick(self, key: bytes | None) -> Backend | None:
        size = self.urn.size
        self.tagging = False
        if size < 2:
            return self.urn.members[0] if size else None
        chance = self.dice()
        self.picked += 1
        self.tagging = chance < self.control
        if self.tagging != self.contest.fallen_back:
            return self.of_two()
        random = int(chance * 9007199254740992.0)
        random = random * FACTOR & MASK
        self.trace = [] if (random >> 20) & TRACED == 0 else None
        if self.in_fleet and self.fresh() > 1:
            best = self.of_pool()
        else:
            best = self.of_sample(random, size)
        best.picks += 1
        if self.trace is not None:
            self.keep_trace(best)
        return best.backend

    def of_two(self) -> Backend:
        """The pick of power of two choices."""
        at = self.urn.draw()
        first: Learned = self.states[at]
        second: Learned = self.states[self.urn.draw_other(at)]
        if second.backend.load() * first.share < first.backend.load() * second.share:
            return second.backend
        return first.backend

    def of_sample(self, random: int, size: int) -> Learned:
        """The best of a random sample by this proxy's own count; of all if they are few."""
        best: Learned = self.states[0]
        least, left = 1e300, self.choices
        everyone = size <= left
        if everyone:
            left = size
        at = random % size
        while left > 0:
            left -= 1
            if everyone:
                at = at + 1 if at + 1 < size else 0
            else:
                random = (random * FACTOR + ADDEND) & MASK
                at = self.place(random, size)
            state: Learned = self.states[at]
            score = self.score(state, state.backend.load())
            if score < least:
                best, least = state, score
        return best

    def place(self, random: int, size: int) -> int:
        """A member drawn by weight, from 64 random bits (the upper ones are better)."""
        at = ((random >> 32) * size) >> 32
        if self.urn.even or ((random >> 12) & 0xFFFFF) < self.urn.keep[at] * 1048576.0:
            return at
        return self.urn.alias[at]

    def fresh(self) -> int:
        """The number of recent reports."""
        self.pool.expire(self.now)
        return self.pool.count

    def of_pool(self) -> Learned:
        """The best of those with a recent report, by the requests in flight of all proxies."""
        pool = self.pool
        best: Learned = self.states[0]
        least, most, chosen, worst = 1e300, -1.0, 0, 0
        at = 0
        while at < pool.count:
            probe: PooledProbe = pool.probes[at]
            state: Learned = probe.state
            usual = self.mean_load * state.capacity / self.fleet.capacity
            believed = BELIEVED / (BELIEVED + self.now - probe.when)
            in_flight = usual + (probe.in_flight - usual) * believed
            own = state.backend.load()
            score = self.score(state, in_flight if in_flight > own else own)
            if score < least:
                best, least, chosen = state, score, at
            if score > most:
                most, worst = score, at
            at += 1
        self.turn = not self.turn
        if worst != chosen and not self.turn:  # or the bad ones would stay and fill the pool
            pool.remove(worst)
            if chosen == pool.count:  # the last one has taken its place
                chosen = worst
        pool.used(chosen, self.dice() < pool.probes[chosen].uses - 1.0)
        if self.turn and pool.count:
            pool.remove(pool.oldest())
        return best

    def score(self, state: Learned, in_flight: float) -> float:
        """The expected time of a request there, as a multiple of the usual one."""
        if self.by_cost:
            full = (in_flight + 1.0) * state.inverse
            slowed = full if full > 1.0 else 1.0
            score = (slowed + SLOPE * full) * state.base + state.penalty
        else:
            score = state.latency * (in_flight + 1.0) / state.share * state.silence * state.prior + state.penalty
        if state.picks > self.crowd:
            score *= 2.0
        if self.trace is not None:
            self.trace.append((state.backend.name, in_flight, score))
        return score

    def keep_trace(self, best: Learned) -> None:
        """Keep a pick for `explain`."""
        assert self.trace is not None
        if len(self.traces) >= 16:
            del self.traces[0]
        self.traces.append((self.now, best.backend.name, self.trace))
        self.trace = None

    # --- learning ---

    def assigned(self, backend: Backend) -> None:
        if self.tagging:
            self.tagging = False
            state: Learned | None = self.known.get(backend)
            if state is not None:
                state.tag, state.tagged = backend.load(), self.now
        if self.prober is not None:
            self.asking.ask(self.prober)

    def released(self, backend: Backend, done: Done) -> None:
        now = self.now = done.now
        state: Learned | None = self.known.get(backend)
        if state is None:
            return
        # nothing goes with a request from pick to end: one of the control group is known by its place in the row
        control = state.tag != 0 and state.tag == done.in_flight and now - done.seconds >= state.tagged - 0.001
        if control:
            state.tag = 0
        if done.outcome == CANCELLED:
            return
        failed = done.outcome == FAILED
        self.contest.over(done.seconds, failed, control)
        if failed:
            state.failed()
            return
        if done.report is None:
            cost, in_flight = 0.0, -1.0
            if self.costed > 0.0:
                self.costed *= 0.99
        else:
            in_flight = self.take_report(state, done.report, now)
            cost = done.report.cost
        self.learn(state, done, cost, in_flight, control)

    def learn(self, state: Learned, done: Done, cost: float, in_flight: float, control: bool) -> None:
        """Learn from a response."""
        fleet = self.fleet
        own = state.backend.load()
        fleet.latency += 0.002 * (done.seconds - fleet.latency)
        state.answered(done.seconds, done.now, fleet)
        if not 0.0 < cost < 1e6:  # NAN is neither
            state.when = done.now
            state.settle()
            return
        self.costed += 0.01 * (1.0 - self.costed)
        if fleet.cost <= 0.0:
            fleet.cost = cost
        fleet.cost += 0.002 * (cost - fleet.cost)
        if control:
            self.fit(state, done, cost)
        at_pick, at_end = float(done.in_flight), own + 1.0
        if self.in_fleet and in_flight >= own:
            at_end = in_flight + 1.0
            at_pick = at_end if at_end > at_pick else at_pick
        if at_pick > self.most:
            self.most = at_pick
        state.completed(done.seconds, cost, at_pick, at_end, done.now, fleet)

    def fit(self, state: Learned, done: Done, cost: float) -> None:
        """Fit the features to a request of the control group."""
        full = done.in_flight / self.fleet.capacity
        self.features.fit(self.values(state), done.seconds / cost / max(1.0, full))

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.now = now
        state: Learned | None = self.known.get(backend)
        if state is not None:
            self.take_report(state, report, now)

    def take_report(self, state: Learned, report: LoadReport, now: float) -> float:
        """Take a report. Returns its requests in flight, -1 without them."""
        state.reported(report, now)
        in_flight = report.in_flight
        if not 0.0 <= in_flight < 1e9:
            return -1.0
        own = state.backend.load()
        self.own += 0.01 * (own - self.own)
        self.everybodys += 0.01 * (in_flight - self.everybodys)
        self.mean_load += 0.01 * (in_flight - self.mean_load)
        if own > 0.0:
            self.untrue += 0.02 * ((in_flight < own) - self.untrue)
        if self.in_fleet:
            self.pool.put(state.backend, state, in_flight, 0.0, now, REUSED)
        return in_flight

    # --- ten times per second ---

    def tick(self, now: float) -> None:
        self.now = now
        size = self.urn.size
        if not size:
            return
        count = min(size, SWEPT)
        self.fleet.step = 0.1 * size / count
        self.sweep(count, now)
        self.crowd = max(4, int(CROWD * self.picked / size)) if size > 8 else 1 << 30
        self.rate += 0.1 * (10.0 * self.picked / size - self.rate)
        self.fleet.often = self.rate > RESPONSES
        self.picked = 0
        self.by_cost = self.costed > MOSTLY
        if self.mode == "auto":
            share = 1.0 - self.own / self.everybodys if self.everybodys > 0.2 else 0.0
            self.in_fleet = share > (OTHERS if not self.in_fleet else OTHERS / 2) and self.untrue < UNTRUE
        self.asking.rate = self.probes if self.in_fleet else (LOOKOUT if self.mode == "auto" else 0.0)
        if self.prober is not None and self.in_fleet and self.fresh() < 2:
            self.asking.ask(self.prober)
        self.contest.judge()

    def sweep(self, count: int, now: float) -> None:
        """Update the next `count` backends: changes with time, and assumptions without data."""
        size = self.urn.size
        capacities = 0.0
        at = self.swept if self.swept < size else 0
        for _ in range(count):
            state: Learned = self.states[at]
            state.recent += 0.1 * (state.picks / max(1, self.picked) - state.recent)
            state.picks = 0
            self.assume(state, now)
            state.sweep(now, self.fleet)
            capacities += state.capacity
            at = at + 1 if at + 1 < size else 0
        self.swept = at
        self.fleet.capacity += 0.3 * (capacities / count - self.fleet.capacity)
        self.most *= 0.999
        self.fleet.ceiling = max(4.0, 2.0 * self.most)

    def assume(self, state: Learned, now: float) -> None:
        """Set the prior from the features while nothing better is known; a full memory counts in any case."""
        state.prior = 1.0
        if self.features.fitted and state.cpu >= 0.0 and state.cost_when < now - 1.0:
            state.prior = self.features.predict(self.values(state))
        if state.memory > FULL_MEMORY:
            state.prior *= 4.0
        if self.by_cost and state.cost_when < now - 10.0 and state.latency > 0.0:  # without costs, unlike others
            state.prior *= min(4.0, max(0.5, state.latency))

    def values(self, state: Learned) -> tuple[float, float, float]:
        """The features of a backend."""
        return state.cpu, state.memory, state.backend.load() / (1.0 + self.mean_load)

    def explain(self) -> dict[str, Any]:
        from .ai_explain import explain

        return explain(self)
