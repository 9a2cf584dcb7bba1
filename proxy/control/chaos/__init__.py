"""Chaos experiments: whether one may run, what it may touch, and when it has to end.

Law of this package: off by default, dry run first, never the last healthy backend. An experiment that cannot be
written to the audit log is not run. The faults of requests are in features/chaos/; the interface to the rest of the
proxy is contract.py, so that this package is tested with a simulated clock.

contract.py     the interface to the proxy, and the proxy's own numbers
safety.py       the victims of an experiment, and all objections to it
guard.py        the steady state, before and during an experiment
audit.py        the audit log, append-only
controller.py   start, stop, watch
monkey.py       random victims at intervals
service.py      the assembly, as run by the supervisor
view.py         the proxy's own numbers, read from the scoreboard
"""
