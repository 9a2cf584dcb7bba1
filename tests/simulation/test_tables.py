"""What docs say of simulations comes out of the results as it is in them."""

from __future__ import annotations

from benchmarks.simulation.summary import Outcome
from benchmarks.simulation.tables import Cell, Situation, digest


def cell(policy: str, *p99: float) -> Cell:
    return Cell(policy, tuple(Outcome(seed, 100, 1.0, 2.0, each, 9.0, 0.0, 1, 2, 1.0) for seed, each in enumerate(p99)))


def test_ratios_are_taken_seed_by_seed_and_to_the_best_of_the_others() -> None:
    cells = [
        cell("oracle", 100.0, 200.0),
        cell("ai_scored local", 110.0, 220.0),
        cell("ai_scored fleet", 1.0, 1.0),
        cell("latency d=8", 220.0, 400.0),
        cell("power_of_two", 500.0, 500.0),
        cell("c3", 230.0, 500.0),
        cell("ai_scored no reports", 231.0, 420.0),
    ]
    *_, line = digest({Situation("S1", 1.74, 1, 3.0, 0.0): cells}).splitlines()
    found = [each.strip() for each in line.strip("|").split("|")]
    assert found[:4] == ["S1", "1.74 x", "1", "165 (110-220)"]
    assert found[6] == "latency d=8: 310 (220-400)"
    assert found[-3:] == ["0.53 (0.50-0.55)", "1.10", "1.05"]


def test_situations_that_differ_in_probes_are_told_apart() -> None:
    cells = [cell("ai_scored local", 110.0), cell("c3", 220.0)]
    *_, line = digest({Situation("S7", 1.5, 1, 0.71, 0.0): cells}).splitlines()
    assert line.startswith("| S7, 0.71 probes | 1.5 x | 1 |")


def test_a_situation_without_competitors_is_left_out() -> None:
    cells = [cell("oracle", 100.0), cell("ai_scored local", 110.0)]
    assert len(digest({Situation("S1", 1.74, 1, 3.0, 0.0): cells}).splitlines()) == 2
