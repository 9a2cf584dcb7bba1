"""Chaos experiments: whether one may run, what it may touch, and when it has to end.

Law of this package: off by default, dry run first, never the last healthy backend. An experiment that cannot be
written down is not run. What faults do to requests is in proxy/chaos/; what this half asks of the rest of the proxy
is in contract.py, so that all of it runs in tests with a clock of their own.

contract.py     what it asks of the proxy, and what the proxy says of itself
experiment.py   an experiment as plain data, and the rule that workers get
safety.py       its victims, and all objections to it
guard.py        the steady state, before and during
audit.py        what happened, in a file that only grows
controller.py   start, stop, watch
monkey.py       now and then a random victim
service.py      all of it, as the supervisor runs it
view.py         the proxy's own numbers, read from the scoreboard
"""
