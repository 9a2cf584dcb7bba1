"""From a checked configuration to a plan in one step, as tests and benchmarks have it in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.configuration.compile import Report, compile_plan, unplaced
from proxy.configuration.schema import Config
from proxy.control.explain import explain
from proxy.features.chaos import OFF, Injector
from proxy.pipeline import link_plan
from proxy.plan import Plan
from proxy.runtime import Registry
from proxy.upstream.backend import BackendSpec


def linked(
    config: Config,
    report: Report = unplaced,
    registry: Registry | None = None,
    members: Mapping[str, tuple[BackendSpec, ...]] | None = None,
    injector: Injector = OFF,
) -> Plan:
    """Compiled and linked. Raises ConfigError."""
    return link_plan(compile_plan(config, report).with_members(members or {}), registry, injector)


def explained(config: Config, request: bytes, **more: Any) -> dict[str, Any]:
    """What `explain` says of a request, by a configuration alone."""
    return explain(config, compile_plan(config), request, **more)
