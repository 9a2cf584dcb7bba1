"""The context of a section in the compilation.

Law of this file: plain references, for the hooks of sections (sections/__init__.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..upstream.spec import GroupSpec
from .schema import Config, Route, UpstreamSection


class Site(NamedTuple):
    """The whole configuration, and the upstream and the route if the section belongs to one."""

    config: Config
    specs: Mapping[str, Any]
    """The specs of earlier sections, by key: of the same upstream, else of the top level."""
    name: str = ""
    """Of the upstream."""
    upstream: UpstreamSection | None = None
    group: GroupSpec | None = None
    route: Route | None = None

    @property
    def upstream_section(self) -> UpstreamSection:
        assert self.upstream is not None
        return self.upstream

    @property
    def route_section(self) -> Route:
        assert self.route is not None
        return self.route
