"""The rules of one worker, put into the chains of stages that a plan links.

Law of this file: a chain that no rule is about is linked as if this file did not exist.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...exchange import ResponseStage, Stage
from .holding import Held
from .returning import ChaosReturn
from .rules import ENDING, Live, Rule, Tally
from .stages import ChaosStage


class Chain:
    """The rules that are about one route, while its stages are being linked."""

    def __init__(self, lives: list[Live], held: Held) -> None:
        self.lives = lives
        self.held = held

    def before(self, stage: Stage, *names: str) -> Stage:
        """`stage`, behind the faults of the rules for it. `names` are the stages, in order, that begin with it."""
        lives = [live for name in names for live in self.lives if live.rule.stage == name]
        return ChaosStage(stage, lives, self.held) if lives else stage

    def behind(self, relay: ResponseStage) -> ResponseStage:
        """`relay`, with the faults of the way back around it."""
        if not self.lives:
            return relay
        lives = [live for live in self.lives if live.rule.stage == "relay" or live.rule.stage in ENDING]
        return ChaosReturn(relay, lives, self.held)


class Injector:
    """Rules and their state. Outlives a reload of the configuration: the plan is compiled anew with the same one.

    `salt` tells workers apart, which would all strike the same otherwise.
    """

    def __init__(self, rules: Iterable[Rule] = (), salt: int = 0) -> None:
        self.lives = [Live(rule, salt) for rule in rules]
        self.held: Held = set()

    def chain(self, route: str, upstream: str) -> Chain:
        """What applies to a route, by its name, and its upstream, "" for none."""
        return Chain([live for live in self.lives if live.concerns(route, upstream)], self.held)

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
