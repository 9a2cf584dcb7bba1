"""Results as tables for people, as Markdown for docs, and as JSON.

Law of this file: every figure is a median over seeds and comes with the least and the greatest; nothing is left out
because it looks bad.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .policies import rows
from .runs import Run
from .summary import Outcome, Spread, spread

OWN = "ai_scored"
REFERENCE = ("oracle",)
"""Rows that are no competitors."""


class Cell(NamedTuple):
    """A policy in one situation, over all seeds."""

    policy: str
    outcomes: tuple[Outcome, ...]

    def spread(self, field: str) -> Spread:
        return spread([getattr(each, field) for each in self.outcomes])


class Situation(NamedTuple):
    """What is the same for all rows of a table."""

    scenario: str
    level: float
    proxies: int
    probes: float
    probe_delay: float


def collect(
    results: Iterable[tuple[Run, Outcome]], before: Mapping[Situation, Sequence[Cell]] = {}
) -> dict[Situation, list[Cell]]:
    """Situations and their rows, in the order in which they were planned, after those that were there before."""
    found = {at: {cell.policy: list(cell.outcomes) for cell in cells} for at, cells in before.items()}
    for run, each in results:
        found.setdefault(situation(run), {}).setdefault(run.policy, []).append(each)
    return {at: [Cell(name, tuple(outcomes)) for name, outcomes in rows.items()] for at, rows in found.items()}


def situation(run: Run) -> Situation:
    return Situation(run.scenario, run.level, run.proxies, run.probes, run.probe_delay)


def has(results: Mapping[Situation, Sequence[Cell]], run: Run) -> bool:
    """Whether a run is among the results."""
    cells = results.get(situation(run), ())
    return any(cell.policy == run.policy and run.seed in [each.seed for each in cell.outcomes] for cell in cells)


def best_other(cells: Sequence[Cell]) -> Cell | None:
    """The competitor with the least p99."""
    others = [cell for cell in cells if cell.policy not in REFERENCE and not cell.policy.startswith(OWN)]
    return min(others, key=lambda cell: cell.spread("p99").median, default=None)


def title(at: Situation) -> str:
    load = f"{at.level:g} x the allotted load" if at.scenario != "S5" else f"from 0.75 to {at.level:g} x"
    extra = f", {at.probes:g} probes per request" if at.scenario == "S7" else ""
    delay = f", probes take {at.probe_delay * 1e3:g} ms" if at.probe_delay else ""
    return f"{at.scenario}, {load}, {at.proxies} prox{'y' if at.proxies == 1 else 'ies'}{extra}{delay}"


HEAD = ("policy", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "errors %", "queue p99", "p99 / oracle", "p99 / best other")


def lines(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """The rows of a table, the best p99 first."""
    oracle = next((cell.spread("p99").median for cell in cells if cell.policy == "oracle"), 0.0)
    best = best_other(cells)
    least = best.spread("p99").median if best else 0.0
    ordered = sorted(cells, key=lambda cell: cell.spread("p99").median)
    return [
        (
            cell.policy,
            *(shown(cell.spread(field)) for field in ("p50", "p90", "p99", "p999")),
            shown(cell.spread("errors"), 3),
            f"{cell.spread('queue_p99').median:.0f}",
            f"{cell.spread('p99').median / oracle:.2f}" if oracle else "",
            f"{cell.spread('p99').median / least:.2f}" if least and cell is not best else "",
        )
        for cell in ordered
    ]


def shown(values: Spread, digits: int = 0) -> str:
    middle, low, high = (f"{value:.{digits}f}" for value in values)
    return middle if low == high else f"{middle} ({low}-{high})"


def markdown(results: dict[Situation, list[Cell]]) -> str:
    """All tables, for docs."""
    parts = []
    for at, cells in results.items():
        rule = "| --- " * len(HEAD) + "|"
        body = ["| " + " | ".join(line) + " |" for line in lines(cells)]
        parts.append("\n".join([f"**{title(at)}**", "", "| " + " | ".join(HEAD) + " |", rule, *body]))
    return "\n\n".join(parts) + "\n"


DIGEST = (
    *("ai_scored", "in auto", "no reports", "best other", "power_of_two", "oracle", "/ best other", "/ oracle"),
    "no reports / best without",
)


def digest(results: dict[Situation, list[Cell]]) -> str:
    """One line for each situation, in Markdown: p99 in ms, and ai_scored (in its mode for so many proxies) to others,
    seed by seed."""
    head = ("scenario", "load", "proxies", *DIGEST)
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for at, cells in results.items():
        rows = {cell.policy: cell for cell in cells}
        own, best = rows.get(f"{OWN} {'local' if at.proxies == 1 else 'fleet'}"), best_other(cells)
        if own is None or best is None:
            continue
        names = (f"{OWN} auto", f"{OWN} no reports", best.policy, "power_of_two", "oracle")
        told = [shown(rows[name].spread("p99")) if name in rows else "" for name in names]
        told[2] = f"{best.policy}: {told[2]}"
        compared = [ratios(own, best), ratios(own, rows["oracle"]) if "oracle" in rows else "", unaided(cells)]
        scenario = f"{at.scenario}, {at.probes:g} probes" if at.scenario == "S7" else at.scenario
        line = (scenario, f"{at.level:g} x", str(at.proxies), shown(own.spread("p99")), *told, *compared)
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def unaided(cells: Sequence[Cell]) -> str:
    """ai_scored without any reports, to the best of the others that need none."""
    own = next((cell for cell in cells if cell.policy == f"{OWN} no reports"), None)
    needs = {name: policy.says for name, policy in rows().items()}
    best = best_other([cell for cell in cells if not needs.get(cell.policy, True)])
    return ratios(own, best) if own is not None and best is not None else ""


def ratios(own: Cell, other: Cell) -> str:
    """The p99 of one over that of another, of the seeds that both have."""
    theirs = {each.seed: each.p99 for each in other.outcomes}
    found = [each.p99 / theirs[each.seed] for each in own.outcomes if each.seed in theirs]
    return shown(spread(found), 2) if found else ""


def save(path: Path, results: dict[Situation, list[Cell]], about: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    situations = [
        {**at._asdict(), "policies": {cell.policy: [each._asdict() for each in cell.outcomes] for cell in cells}}
        for at, cells in results.items()
    ]
    path.write_text(json.dumps({"format": 1, **about, "situations": situations}, separators=(",", ":")) + "\n")


def load(path: Path) -> dict[Situation, list[Cell]]:
    """What `save` has written."""
    found = {}
    for each in json.loads(path.read_text())["situations"]:
        policies = each.pop("policies")
        found[Situation(**each)] = [
            Cell(name, tuple(Outcome(**one) for one in outcomes)) for name, outcomes in policies.items()
        ]
    return found
