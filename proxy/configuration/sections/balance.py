"""Balancing: the algorithm of an upstream and its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from socket import gethostname
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, ConfigDict

from ..fields import GraceDuration, List, Section, duration
from ..findings import Finding, PlainData, did_you_mean
from ..findings import Path as FindingPath
from ..values import quoted
from .geo import locations
from .names import Algorithm
from .rate_limits import RateKey

if TYPE_CHECKING:
    from ...balancing.compose import BalanceSpec
    from ..schema import Config
    from ..site import Site


def in_a_list(value: object) -> object:
    """A single value as a list of one."""
    return [value] if isinstance(value, str) else value


class BalanceSection(Section):
    """An algorithm and its parameters; further keys are passed to it unchanged."""

    model_config = ConfigDict(extra="allow")

    algorithm: Algorithm
    """The name of an algorithm, or "module:Class" for one of your own."""
    key: Annotated[List[RateKey], BeforeValidator(in_a_list, json_schema_input_type=str | list[str])] = ()
    """The key of a request: client_ip, header:NAME, query:NAME, cookie:NAME, path:NAME, or several of them
    together."""
    fallback: Algorithm = "power_of_two"
    """The algorithm for requests without the key, and the replacement if the other one fails."""
    slow: GraceDuration = duration("10ms")
    """The time limit of a call of an algorithm of your own; one that often exceeds it is replaced by the fallback, as
    after a failure. 0 for no limit."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The further parameters of the algorithm."""
        return self.model_extra or {}

    @property
    def own_code(self) -> bool:
        """Whether an algorithm that is not of the table takes part: this one, or one inside of it."""
        from ...balancing.user_code import named_inside

        named = named_inside(self.params)
        return ":" in self.algorithm or (isinstance(named, str) and ":" in named)


EFFECTS = (("*", "picks from the next request on; what was learned of the backends stays"),)


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    balance = parent.get("balance")
    name, where = balance, (*path, "balance")
    if isinstance(balance, dict):
        name, where = balance.get("algorithm"), (*where, "algorithm")
    algorithms = document.algorithms
    if isinstance(name, str) and ":" not in name and name not in algorithms:
        yield Finding(where, f"there is no algorithm {quoted(name)}{did_you_mean(name, algorithms)}")


def lint(config: Config) -> Iterator[Finding]:
    for name, upstream in config.upstreams.items():
        balance = upstream.balance
        if "slow" in balance.model_fields_set and not balance.own_code:
            words = f"has no effect: {balance.algorithm} is no algorithm of your own"
            yield Finding(("upstreams", name, "balance", "slow"), words, at_key=True)


def to_spec(balance: BalanceSection, site: Site) -> BalanceSpec:
    """There are priorities if a backend that the file lists has one, or if a source may find one."""
    from ...balancing.compose import BalanceSpec, SubsetSpec

    config, upstream = site.config, site.upstream_section
    subset = upstream.subset
    levels = any(backend.priority for backend in upstream.backends) or upstream.discover is not None
    params = dict(balance.params)
    if balance.algorithm == "geographic":
        params.setdefault("locations", dict(locations(config.geo)))
    return BalanceSpec(
        algorithm=balance.algorithm,
        params=params,
        fallback=balance.fallback,
        overprovisioning=upstream.overprovisioning if levels else None,
        zone=site.specs.get("zones"),
        subset=SubsetSpec(subset, config.identity or gethostname()) if subset is not None else None,
        sticky=site.specs.get("sticky"),
        slow=balance.slow if balance.own_code else 0.0,
    )
