"""What is allowed in a configuration but not what it seems.

Law of this file: it calls the hooks of the sections, which read the checked models; nothing that they find keeps a
configuration from being used.
"""

from __future__ import annotations

from collections.abc import Iterator

from .findings import Finding
from .schema import Config
from .sections import SECTIONS


def warning_findings(config: Config) -> Iterator[Finding]:
    for lint in dict.fromkeys(entry.hook("lint") for entry in SECTIONS):
        if lint is not None:
            yield from lint(config)
