"""proxy/balancing: what a request costs an algorithm, by how many backends there are, and what memory it keeps.

A request is `pick`, `assigned` and, 64 requests later, `released`, with what the pipeline does around them: requests in
flight are counted up and down, time goes on, and backends tell those of their load who listen. There are 4,096 keys.
Law of this file: what is taken off is the same loop with picks that were drawn before. So neither the call of a method
nor the first touch of a backend, which the pipeline needs anyway, is in a figure; they are in the row "nothing".
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from functools import partial
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

from proxy import scoreboard
from proxy.balancing import ALGORITHMS, Balancer, Done, create
from proxy.balancing.base import ANSWERED, FAILED
from proxy.balancing.compose import BalanceSpec, SubsetSpec, ZoneSpec, compose
from proxy.balancing.locations import BUILTIN
from proxy.balancing.round_robin import RoundRobin
from proxy.features.sticky.balancer import StickySpec, packed, sign
from proxy.scoreboard import IN_FLIGHT
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.load.report import LoadReport

from .harness import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .harness import Timing

COUNTS = (3, 100, 1_000, 10_000)
SLOW_COUNTS = (1_000, 10_000)
MARKED = 1_000
MARK, SECOND_MARK = 1_000.0, 2_000.0
"""Nanoseconds for a request at MARKED backends or more; the second one is for ai_scored and prequal. What is composed
of several algorithms has none."""
FLYING = 64
REQUESTS = 4_096
APART = 50e-6
"""Requests that are under way at a time; that are timed in one call; and the seconds between two of them."""
TICK = 0.1
KEPT_OVER = 100_000
"""Requests after which memory that is kept is counted."""

NOTHING = "nothing"
UPSTREAM, SECRET, ZONE = "app", b"a secret of the benchmark", "zone-0"
REGIONS = ("eu-west", "us-east", "ap-south")
OWN = BalanceSpec("proxy.console.policy.skeleton:Skeleton")
"""What `qantara policy new` writes."""
STICKY = StickySpec(UPSTREAM, (SECRET,))


class Row(NamedTuple):
    """Something to time: how it is made, which keys it gets for these backends, and its mark."""

    make: Callable[[], Balancer]
    keys: Callable[[Sequence[Backend]], list[bytes | None]]
    mark: float | None = None
    asks: bool = False
    """Whether backends can be asked for their load."""


# --- what is timed ---


def rows() -> dict[str, Row]:
    found = {name: algorithm(name) for name in ALGORITHMS}
    found["prequal, asking"] = Row(lambda: create("prequal"), no_keys, SECOND_MARK, True)
    found["ai_scored, asking"] = Row(lambda: create("ai_scored", mode="fleet"), no_keys, SECOND_MARK, True)
    hashed = BalanceSpec("consistent_hash")
    found["key or power_of_two"] = composed(hashed, keys)
    found["priorities"] = composed(BalanceSpec("power_of_two", overprovisioning=1.4), no_keys)
    found["zones"] = composed(BalanceSpec("power_of_two", zone=ZoneSpec(ZONE)), no_keys)
    found["subset of 20"] = composed(BalanceSpec("power_of_two", subset=SubsetSpec(20, "proxy-1")), no_keys)
    found["geographic, by key inside"] = Row(lambda: create("geographic", inner="consistent_hash"), located_keys)
    found["sticky, comes back"] = composed(BalanceSpec("power_of_two", sticky=STICKY), marks)
    found["sticky, new"] = composed(BalanceSpec("power_of_two", sticky=STICKY), new_ones)
    everything = hashed._replace(overprovisioning=1.4, zone=ZoneSpec(ZONE), subset=SubsetSpec(20, "p"), sticky=STICKY)
    found["all of these, new"] = composed(everything, new_ones_with_keys)
    found["one's own"] = composed(OWN, no_keys)
    found["one's own, watched"] = composed(OWN._replace(slow=0.01), no_keys)
    return found


def algorithm(name: str) -> Row:
    made = create(name)
    given = locations if made.needs_location else keys if made.needs_key else no_keys
    return Row(lambda: create(name), given, SECOND_MARK if name in ("ai_scored", "prequal") else MARK)


def composed(spec: BalanceSpec, keys: Callable[[Sequence[Backend]], list[bytes | None]]) -> Row:
    return Row(lambda: compose(spec), keys)


def no_keys(members: Sequence[Backend]) -> list[bytes | None]:
    return [None] * REQUESTS


def keys(members: Sequence[Backend]) -> list[bytes | None]:
    return [b"user-%d" % n for n in range(REQUESTS)]


def locations(members: Sequence[Backend]) -> list[bytes | None]:
    names = [b"", *(name.encode() for name in BUILTIN)]
    return [names[n % len(names)] for n in range(REQUESTS)]


def located_keys(members: Sequence[Backend]) -> list[bytes | None]:
    return [b"%b\nuser-%d" % (location or b"", n) for n, location in enumerate(locations(members))]


def marks(members: Sequence[Backend]) -> list[bytes | None]:
    return [packed(sign(SECRET, UPSTREAM, backend.name), None) for backend in drawn(members)]


def new_ones(members: Sequence[Backend]) -> list[bytes | None]:
    return [packed(None, None)] * REQUESTS


def new_ones_with_keys(members: Sequence[Backend]) -> list[bytes | None]:
    return [packed(None, key) for key in keys(members)]


# --- the cases ---


def cases() -> Iterator[Case]:
    for count in COUNTS:
        yield Case(f"{NOTHING}: request, {count} backends", partial(nothing_but_backends, count), REQUESTS)
    for name, row in rows().items():
        for count in COUNTS:
            mark = row.mark if count >= MARKED else None
            yield Case(f"{name}: request, {count} backends", partial(with_and_without, row, count), REQUESTS, mark)
        for count in SLOW_COUNTS:
            yield Case(f"{name}: members, {count} backends", partial(one_leaves_and_returns, row, count), 2)
            yield Case(f"{name}: tick, {count} backends", partial(ticks, row, count))


def nothing_but_backends(count: int) -> Callable[[], None]:
    return without_algorithm(backends(count))


def with_and_without(row: Row, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Both with the same backends, or what is taken off would not be their first touch."""
    members = backends(count)
    return requests(row, members), without_algorithm(members)


def requests(row: Row, members: Sequence[Backend]) -> Callable[[], None]:
    """As many requests as there are keys, after some that the algorithm has learned from."""
    balancer = settled(row, members)
    call = loop(balancer, row.keys(members), Clock())
    for n in range(8):
        call()
        balancer.tick((n + 1) * REQUESTS * APART)
    return call


def without_algorithm(members: Sequence[Backend]) -> Callable[[], None]:
    """The loop with picks that were drawn before: round robin through a list of them, long enough to come to everybody
    again and again."""
    balancer = RoundRobin()
    balancer.order = drawn(members, 16 * REQUESTS)
    return loop(balancer, no_keys(members), Clock())


class Clock:
    """Seconds, which go on from one call of a loop to the next."""

    now = 0.0


def loop(balancer: Balancer, keys: list[bytes | None], clock: Clock) -> Callable[[], None]:
    """What the pipeline does for a request, as far as an algorithm sees it: see Pick.enter and drop_backend there."""
    pick, assigned, released = balancer.pick, balancer.assigned, balancer.released
    slots = list(range(FLYING)) * (len(keys) // FLYING)
    flying: list[Backend | None] = [None] * FLYING
    dones = endings(balancer.wants_reports)

    def call() -> None:
        now = clock.now
        for key, slot, done in zip(keys, slots, cycle(dones)):
            now += APART
            before = flying[slot]
            if before is not None:
                done.now = now
                done.in_flight = load = before.load()
                before.in_flight = load - 1
                released(before, done)
            backend = flying[slot] = pick(key)
            backend.count(IN_FLIGHT)
            assigned(backend)
        for slot, done in enumerate(dones):
            before, flying[slot] = flying[slot], None
            done.now = now
            before.in_flight -= 1
            released(before, done)
        clock.now = now

    return call


def one_leaves_and_returns(row: Row, count: int) -> Callable[[], None]:
    members = backends(count)
    balancer, others = settled(row, members), members[1:]

    def call() -> None:
        balancer.members(members, members, others)
        balancer.members(members, members, members)

    return call


def ticks(row: Row, count: int) -> Callable[[], None]:
    balancer, clock = settled(row, backends(count)), Clock()

    def call() -> None:
        clock.now += TICK
        balancer.tick(clock.now)

    return call


# --- what they are made of ---


def settled(row: Row, members: Sequence[Backend]) -> Balancer:
    balancer = row.make()
    balancer.prober = deque[Backend](maxlen=1).append if row.asks else None
    balancer.members(members, members, members)
    return balancer


def backends(count: int) -> list[Backend]:
    """Backends on a board, one in three of weight 5, in three zones and regions, a tenth of them for later."""
    board = scoreboard.alone()
    found = []
    for n in range(count):
        host = f"10.0.{n // 256}.{n % 256}"
        spec = BackendSpec(
            f"{host}:80", host, 80, "", 1 if n % 3 else 5, REGIONS[n % 3], int(n % 10 == 9), f"zone-{n % 3}"
        )
        found.append(Backend(spec, board.backend_rows(UPSTREAM, spec.address), board))
    return found


def drawn(members: Sequence[Backend], count: int = REQUESTS) -> list[Backend]:
    """So many by chance."""
    return Random(2).choices(members, k=count)


def endings(reports: bool) -> list[Done]:
    """How requests end, with what backends report of their load: at random, and one of them with a failure."""
    dice = Random(3)
    found = []
    for n in range(FLYING):
        report = LoadReport(
            cpu=0.1 + 0.8 * dice.random(),
            rps=50 + 100 * dice.random(),
            cost=0.001 + 0.004 * dice.random(),
            in_flight=float(dice.randrange(2, 20)),
            latency=0.001 + 0.02 * dice.random(),
        )
        seconds = 0.001 + 0.02 * dice.random()
        found.append(Done(seconds, FAILED if n == 0 else ANSWERED, report=report if reports else None))
    return found


# --- the tables ---


def tables(timings: Sequence[Timing]) -> Iterator[Table]:
    """What was timed, a row for each algorithm; and the memory that requests have kept."""
    least: dict[tuple[str, str, int], Timing] = {}
    for timing in timings:
        name, _, rest = timing.name.partition(": ")
        what, _, count = rest.partition(", ")
        least[name, what, int(count.split()[0])] = timing
    names = dict.fromkeys(name for name, _, _ in least)
    yield request_table(names, least)
    yield slow_table(names, least)


def request_table(names: Iterable[str], timings: Mapping[tuple[str, str, int], Timing]) -> Table:
    made = Table(title="a request (pick, assigned, released), ns, by the number of backends", title_justify="left")
    made.add_column("algorithm")
    for title in (*(f"{count:,}" for count in COUNTS), "more at 10,000", "mark from 1,000 on", "blocks kept"):
        made.add_column(title, justify="right")
    known = rows()
    for name in names:
        found = [timings.get((name, "request", count)) for count in COUNTS]
        cells = ["" if each is None else f"{each.minimum:,.0f}" for each in found]
        before, last = found[COUNTS.index(MARKED)], found[-1]
        more = f"{last.minimum - before.minimum:+,.0f}" if last and before else ""
        marked = [each for each in found if each is not None and each.mark is not None]
        met = "met" if all(each.met for each in marked) else "MISSED"
        mark = f"{marked[0].mark:,.0f} {met}" if marked else ""
        kept = str(kept_by(known[name])) if name in known else ""
        made.add_row(name, *cells, more, mark, kept)
    return made


def kept_by(row: Row) -> int:
    """Blocks of memory that are in use after KEPT_OVER requests and were not before."""
    call = requests(row, backends(MARKED))
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(-(-KEPT_OVER // REQUESTS)):
        call()
    gc.collect()
    return sys.getallocatedblocks() - before


def slow_table(names: Iterable[str], timings: Mapping[tuple[str, str, int], Timing]) -> Table:
    made = Table(title="off the path of requests, ms, by the number of backends", title_justify="left")
    made.add_column("algorithm")
    columns = [(what, count) for what in ("members", "tick") for count in SLOW_COUNTS]
    for what, count in columns:
        made.add_column(f"{what}, {count:,}", justify="right")
    for name in names:
        found = [timings.get((name, *column)) for column in columns]
        if any(found):
            made.add_row(name, *("" if each is None else f"{each.minimum / 1e6:,.3f}" for each in found))
    return made
