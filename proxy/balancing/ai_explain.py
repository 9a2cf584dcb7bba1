"""The state of `ai_scored` and the reasons of its picks, in words and numbers for people.

Law of this file: it only reads, and it is slow: it is called on demand.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from .ai_learned import Learned

if TYPE_CHECKING:
    from .ai_scored import AiScored


def explain(balancer: AiScored) -> dict[str, Any]:
    """`backends` by name, `picks` (the latest that were kept), and common values."""
    return {
        "mode": mode(balancer),
        "goes_by": "cost" if balancer.by_cost else "latency",
        "mean_cost": balancer.fleet.cost,
        "mean_latency": balancer.fleet.latency,
        "untrue_reports": round(balancer.untrue, 4),
        "contest": contest(balancer),
        "backends": {state.backend.name: backend(balancer, state) for state in balancer.states},
        "picks": [pick(*trace) for trace in reversed(balancer.traces)],
    }


def mode(balancer: AiScored) -> str:
    if balancer.contest.fallen_back:
        return "fallback"
    return "fleet" if balancer.in_fleet else "local"


def contest(balancer: AiScored) -> dict[str, Any]:
    """The comparison with power of two choices."""
    found = balancer.contest
    learned, even = found.last if found.last is not None else (None, None)
    return {
        "slow_above": found.slow_above,
        "slow_share": learned,
        "slow_share_of_power_of_two": even,
        "windows_lost": found.lost,
        "falls_back": found.fallen_back,
        "times_fallen_back": found.falls,
    }


def backend(balancer: AiScored, state: Learned) -> dict[str, Any]:
    """One backend: its learned values, and the score of a request now."""
    in_flight = float(state.backend.load())
    full = (in_flight + 1.0) * state.inverse
    usual = balancer.fleet.cost if balancer.by_cost else balancer.fleet.latency
    score = balancer.score(state, in_flight)
    values = balancer.values(state)
    return {
        "score": score,
        "predicted_latency": usual * (score - state.penalty),
        "in_flight": in_flight,
        "learned_capacity": state.capacity,
        "capacity_uncertain_by": state.capacity * sqrt(state.variance / (1.0 + state.variance)) / 2.0,
        "slowdown": max(1.0, full),
        "pace": state.pace,
        "silence": state.silence,
        "errors": state.error,
        "penalty": state.penalty,
        "prior": state.prior,
        "features": {
            name: {"value": value if value >= 0.0 else None, "adds": adds}
            for (name, adds), value in zip(balancer.features.contributions(values).items(), values, strict=True)
        },
        "age": balancer.now - state.when if state.when else None,
        "report_age": balancer.now - state.reported_when if state.reported_when > 0.0 else None,
        "share_of_picks": state.recent,
        "why": why(balancer, state, in_flight, full),
    }


def why(balancer: AiScored, state: Learned, in_flight: float, full: float) -> str:
    """The score in words."""
    if balancer.by_cost:
        words = [f"{in_flight:.0f} in flight, room for {state.capacity * state.share:.1f}: {max(1.0, full):.2f} x"]
    else:
        words = [f"{in_flight:.0f} in flight, latency {state.latency:.2f} x the mean"]
    if abs(state.pace - 1.0) > 0.05:
        words.append(f"its requests cost {state.pace:.2f} x the mean")
    if state.silence > 1.0:
        words.append(f"has not answered for longer than usual: {state.silence:.2f} x")
    if state.penalty > 0.0:
        words.append(f"errors {100 * state.error:.1f} %: +{state.penalty:.2f}")
    if state.prior != 1.0:
        words.append(f"by what it reports of CPU, memory and connections: {state.prior:.2f} x")
    return "; ".join(words)


def pick(now: float, winner: str, candidates: list[tuple[str, float, float]]) -> dict[str, Any]:
    """One pick: the candidates, and the reason of the choice."""
    ordered = sorted(candidates, key=lambda each: each[2])
    second = ordered[1] if len(ordered) > 1 else None
    reason = f"{winner} has the lowest score, {ordered[0][2]:.2f}"
    if second is not None:
        reason += f"; next is {second[0]} with {second[2]:.2f}"
    return {
        "time": now,
        "winner": winner,
        "why": reason,
        "candidates": [{"backend": name, "in_flight": load, "score": score} for name, load, score in ordered],
    }
