"""The chaos rules of one worker, and what they hold back.

Law of this file: it outlives a reload; a plan is linked anew with the same one.
"""

from __future__ import annotations

from collections.abc import Iterable

from .holding import Held
from .rules import Live, Rule, Tally


class Injector:
    """Rules and their state. Outlives a reload of the configuration: the plan is compiled anew with the same one.

    `salt` tells workers apart, which would all strike the same otherwise.
    """

    def __init__(self, rules: Iterable[Rule] = (), salt: int = 0) -> None:
        self.lives = [Live(rule, salt) for rule in rules]
        self.held: Held = set()

    def concerning(self, route: str, upstream: str) -> list[Live]:
        """The rules that apply to a route, by its name, and its upstream, "" for none."""
        return [live for live in self.lives if live.concerns(route, upstream)]

    def stop(self) -> None:
        """End all rules now, and let go of everything that is held back by them."""
        for live in self.lives:
            live.off = True
        for held in list(self.held):
            held.release()

    def tallies(self) -> dict[str, Tally]:
        """How often each rule has struck here, by its id."""
        return {live.rule.id: live.tally() for live in self.lives}


OFF = Injector()
"""No chaos."""
