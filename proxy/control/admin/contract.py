"""What the admin API needs of the process that it speaks for.

Law of this file: interfaces only. The supervisor implements them; tests may with less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ...configuration.schema import Config
from ...scoreboard import Scoreboard
from ...upstream.spec import GroupSpec
from ..chaos.service import ChaosService
from ..discovery.service import Discovery
from ..health_checks import HealthChecks
from ..reload import Checked, ReloadResult


class WorkerStatus(NamedTuple):
    """A worker as the supervisor sees it."""

    slot: int
    pid: int
    state: str
    """starting, serving or leaving"""
    seconds: float
    """How long it has been serving."""
    restarts: int
    """How many workers have died in its place, each of which was replaced."""


class Control(Protocol):
    """A running proxy."""

    board: Scoreboard
    health_checks: HealthChecks
    chaos: ChaosService
    discovery: Discovery
    path: str
    """The file of the configuration."""
    checked: Checked
    """What is served."""
    last_reload: ReloadResult

    @property
    def config(self) -> Config:
        """What is served."""

    def specs(self) -> Mapping[str, GroupSpec]:
        """Every upstream with the backends that it has now."""

    def status(self) -> dict[str, Any]:
        """Processes and the last reload, as JSON."""

    def worker_status(self) -> list[WorkerStatus]:
        """The workers that have a slot."""

    def ready(self) -> bool:
        """Whether requests should be sent here: false from the moment it begins to stop, and while no worker serves."""

    async def reload(self) -> ReloadResult:
        """Load the configuration again."""

    async def upgrade(self) -> int:
        """Replace the program. Returns the new pid; raises BindError."""

    async def ask_all(self, kind: str, payload: object = None) -> list[object]:
        """Ask every worker."""

    def stop(self) -> None:
        """Drain and end."""
