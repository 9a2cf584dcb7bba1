"""Fault injection: the faults of active chaos rules, on the path of requests.

Law of this package: off costs nothing. These stages are linked only while rules are active, and an expired rule injects
nothing, even if the process that has started it is dead. Whether an experiment may run is decided in control/chaos/;
this half injects the faults, and releases held exchanges when it is stopped, when the rule expires, and when the
exchange ends.

experiment.py       an experiment as plain data
rules.py            the conditions, random draws and counters of a rule
holding.py          an exchange that is held back, and its release
flows.py            a response that is held back, and its buffer
stages.py           faults on the way to the backend
response_faults.py  faults on the way back
injector.py         the rules of one worker
links.py            the links of faults in the chains of a plan
"""

from .injector import OFF, Injector
from .rules import Delay, Rule, Tally

__all__ = ["OFF", "Delay", "Injector", "Rule", "Tally"]
