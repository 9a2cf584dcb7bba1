"""All scenarios."""

from . import failing_backends

SCENARIOS = failing_backends.ALL
