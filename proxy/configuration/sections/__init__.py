"""The sections of the configuration: one file each, and the table of them.

A file has the model of its section and hooks with these names; all but the model may be absent:

    ABOUT             the description of the key in the JSON Schema (optional sections only)
    FIELD             annotation of the key and arguments of its Field, if it is not "the model, or null"
    rules(...)        errors in plain data, which may be invalid otherwise; keys that contradict each other.
                      Called with (path, parent, document) for each mapping that may contain the section
    check(config)     errors found in the checked models
    lint(config)      warnings: configurations that are valid but have an unexpected effect
    EFFECTS           pairs of a pattern of keys, relative to the section's, and the effect of their change in a reload
    to_spec(...)      the plain spec that a process links: (section, site). Raises ValueError, or RefusedAt
    absent(site)      the spec where the section is absent
    route_spec(...)   the spec for one route: (spec, site) with the route in it. The same spec if absent
    hides_request     header names that backends do not get from clients, hides_response those that clients do not get:
                      (spec)

Modules of the data path are imported inside hooks, so that loading the schema imports none of them.

A new optional feature is one file here and one line in SECTIONS; its hot side is one line in the chain of the pipeline.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

TOP, UPSTREAM, ROUTE = "top", "upstream", "route"


class Entry:
    """A line of the table. An optional section names its model, and the key that it follows in the schema; others are
    declared there."""

    def __init__(self, key: str, where: str, target: str, after: str = "") -> None:
        self.key = key
        self.where = where
        self.file, _, self.model_name = target.partition(":")
        self.after = after

    @property
    def prefix(self) -> str:
        """The pattern of its dotted keys (fnmatch; "[[]" is a bracket)."""
        return {TOP: "", UPSTREAM: "upstreams.*.", ROUTE: "routes[[]*]."}[self.where] + self.key

    @cached_property
    def module(self) -> Any:
        return import_module(f".{self.file}", __name__)

    @property
    def model(self) -> Any:
        return getattr(self.module, self.model_name)

    def hook(self, name: str) -> Any:
        """The hook of this name in the file, None without one."""
        return getattr(self.module, name, None)


# fmt: off
SECTIONS = (
    Entry("listeners", TOP, "listeners"),
    Entry("admin", TOP, "admin"),
    Entry("python_path", TOP, "python_path"),
    Entry("geo", TOP, "geo:GeoSection", after="identity"),
    Entry("access_log", TOP, "access_log"),
    Entry("tracing", TOP, "tracing:TracingSection", after="access_log"),
    Entry("timeouts", TOP, "timeouts"),
    Entry("limits", TOP, "limits"),
    Entry("shedding", TOP, "shedding:SheddingSection", after="limits"),
    Entry("rate_limits", TOP, "rate_limits"),
    Entry("cache", TOP, "cache"),
    Entry("chaos", TOP, "chaos:ChaosSection", after="shards"),
    Entry("sticky", UPSTREAM, "sticky:StickySection", after="balance"),
    Entry("zones", UPSTREAM, "zones:ZonesSection", after="overprovisioning"),
    Entry("balance", UPSTREAM, "balance"),
    Entry("backends", UPSTREAM, "backends"),
    Entry("discover", UPSTREAM, "discover:DiscoverSection", after="backends"),
    Entry("pool", UPSTREAM, "pool"),
    Entry("timeouts", UPSTREAM, "timeouts"),
    Entry("health", UPSTREAM, "health:HealthSection", after="timeouts"),
    Entry("load_reports", UPSTREAM, "load_reports:LoadReportsSection", after="health"),
    Entry("outlier", UPSTREAM, "outlier:OutlierSection", after="load_reports"),
    Entry("slow_start", UPSTREAM, "slow_start:SlowStartSection", after="panic"),
    Entry("retry", UPSTREAM, "retry"),
    Entry("limits", UPSTREAM, "upstream_limits"),
    Entry("concurrency", UPSTREAM, "concurrency:ConcurrencySection", after="limits"),
    Entry("breaker", UPSTREAM, "breaker:BreakerSection", after="concurrency"),
    Entry("match", ROUTE, "match"),
    Entry("respond", ROUTE, "respond"),
    Entry("rewrites", ROUTE, "rewrites"),
    Entry("headers", ROUTE, "headers"),
)
# fmt: on
"""In order of dependency: the spec of a section is made before those of the lines below it."""


def sections(where: str) -> list[Entry]:
    """The sections of one level."""
    return [entry for entry in SECTIONS if entry.where == where]
