"""The chaos rules of one worker, and the exchanges held by them.

Law of this file: an injector outlives a reload; each plan is linked with the same one.
"""

from __future__ import annotations

from collections.abc import Iterable

from .holding import Held
from .rules import ActiveRule, Rule, Tally


class Injector:
    """Rules and their state. `salt` differs between workers, so that their random draws do."""

    def __init__(self, rules: Iterable[Rule] = (), salt: int = 0) -> None:
        self.rules = [ActiveRule(rule, salt) for rule in rules]
        self.held: Held = set()

    def concerning(self, route: str, upstream: str) -> list[ActiveRule]:
        """The rules that apply to a route, by its name, and its upstream, "" for none."""
        return [active for active in self.rules if active.concerns(route, upstream)]

    def stop(self) -> None:
        """End all rules now, and release all exchanges held by them."""
        for active in self.rules:
            active.off = True
        for held in list(self.held):
            held.release()

    def tallies(self) -> dict[str, Tally]:
        """The counters of each rule in this worker, by its id."""
        return {active.rule.id: active.tally() for active in self.rules}


OFF = Injector()
"""No chaos."""
