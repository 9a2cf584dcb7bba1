"""Warnings: configurations that are valid but have an unexpected effect.

Law of this file: it calls the hooks of the sections, which read the checked models; a warning never refuses a
configuration.
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
