"""All scenarios, in the order of the table."""

from . import clients, failing_backends, injected_faults, operations

SECTIONS = {
    "backends": failing_backends.ALL,
    "clients": clients.ALL,
    "injected": injected_faults.ALL,
    "operations": operations.ALL,
}
SCENARIOS = tuple(scenario for section in SECTIONS.values() for scenario in section)
