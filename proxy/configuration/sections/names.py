"""Names of things outside of the configuration: zones, regions, labels, algorithms; and secrets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from .. import values as units

Name = Annotated[str, AfterValidator(units.check_place)]
"""A zone, a region, a label or a proxy."""
Algorithm = Annotated[str, AfterValidator(units.check_algorithm)]
