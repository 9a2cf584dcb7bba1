"""What the tests stand on: raw clients and origins, real app servers, a running proxy.

Nothing here knows a single feature; what is expected is written in the test.
"""

PATIENCE = 60.0
"""Seconds that a test waits for what has to come: a process that starts, a response, a state. It ends a hang and
measures nothing, so it is far beyond what a loaded machine takes."""
