"""Faults on purpose: what a running chaos rule does to requests.

Law of this package: off costs nothing. A plan has these stages in its chains only while rules are active, and a rule
whose time is over does nothing, whoever is still alive to take it away. What decides whether an experiment may run is
in control/chaos/; this half only carries rules out, and lets go of whatever it holds when it is told to, when the
rule ends, and when the exchange does.

rules.py      what a rule says; its dice and its tally
holding.py    an exchange that is held back: what lets go of it, and when
stages.py     faults on the way to the backend
returning.py  faults on the way back
injector.py   the rules of one worker
links.py      faults, put into the chains of a plan
"""

from .injector import OFF, Injector
from .rules import Delay, Rule, Tally

__all__ = ["OFF", "Delay", "Injector", "Rule", "Tally"]
