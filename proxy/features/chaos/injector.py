"""The chaos rules of one worker, and the exchanges held by them.

Law of this file: an injector outlives a reload; each plan is linked with the same one.
"""

from __future__ import annotations

from collections.abc import Iterable

from .holding import Held
from .rules import Live, Rule, Tally


class Injector:
    """Rules and their state. `salt` differs between workers, so that their random draws do."""

    def __init__(self, rules: Iterable[Rule] = (), salt: int = 0) -> None:
        self.lives = [Live(rule, salt) for rule in rules]
        self.held: Held = set()

    def concerning(self, route: str, upstream: str) -> list[Live]:
        """The rules that apply to a route, by its name, and its upstream, "" for none."""
        return [live for live in self.lives if live.concerns(route, upstream)]

    def stop(self) -> None:
        """End all rules now, and release all exchanges held by them."""
        for live in self.lives:
            live.off = True
        for held in list(self.held):
            held.release()

    def tallies(self) -> dict[str, Tally]:
        """The counters of each rule in this worker, by its id."""
        return {live.rule.id: live.tally() for live in self.lives}


OFF = Injector()
"""No chaos."""
