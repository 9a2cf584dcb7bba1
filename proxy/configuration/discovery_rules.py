"""The rules of `discover` that span its keys, and which class of source each of its forms needs.

Law of this file: rules read plain data, which may be wrong in every other way. Only `find_class` imports anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from ..upstream.source import Source
from .sections.discovery import Discover, parse_dns_name
from .values import parse_duration

FORMS = ("dns", "file", "source")
OF_DNS = ("type", "resolvers", "search", "timeout", "ttl_min", "ttl_max", "keep")
OF_FILE = ("interval",)


class Broken(NamedTuple):
    """A rule that is broken: at which key of `discover`, or at itself if it is "", and how."""

    key: str
    message: str
    at_key: bool = False
    unknown: bool = False
    """The key is not known; the message is empty, since whoever knows all keys has a better one."""


def broken_rules(discover: Mapping[str, Any]) -> Iterator[Broken]:
    given = [key for key in discover if discover[key] is not None]
    forms = [key for key in given if key in FORMS]
    if not forms:
        yield Broken("", "needs one of dns, file and source")
    for key in forms[1:]:
        yield Broken(key, f"excludes {forms[0]}; give one of dns, file and source", at_key=True)
    for form, keys in (("dns", OF_DNS), ("file", OF_FILE)):
        for key in given:
            if forms and key in keys and form not in forms:
                yield Broken(key, f"belongs to {form}, and there is none here; remove it", at_key=True)
    if "source" not in forms:
        known = {*Discover.model_fields}
        yield from (Broken(key, "", at_key=True, unknown=True) for key in discover if key not in known)
    if "dns" in forms:
        yield from _dns_rules(discover)


def _dns_rules(discover: Mapping[str, Any]) -> Iterator[Broken]:
    try:
        name = parse_dns_name(discover["dns"])
    except ValueError:
        return  # reported already
    if discover.get("type") == "srv" and name.port:
        yield Broken("dns", f"SRV records have ports of their own; write {name.name}")
    elif discover.get("type") != "srv" and not name.port:
        yield Broken("dns", f"the port is missing; write {name.name}:80, or type: srv for records that have one")
    try:
        least = parse_duration(discover.get("ttl_min", "1s"))
        most = parse_duration(discover.get("ttl_max", "60s"))
    except ValueError:
        return
    if least > most:
        written = discover.get("ttl_max", "60s, the default")
        yield Broken("ttl_min" if "ttl_min" in discover else "ttl_max", f"ttl_min is longer than ttl_max ({written})")


def find_class(discover: Discover) -> type[Source]:
    """The class of a source of one's own, which takes these parameters. Raises ValueError."""
    module, _, name = (discover.source or "").partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # whatever importing a stranger's module does
        raise ValueError(f"{discover.source} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise ValueError(f"{discover.source} is not a subclass of proxy.control.discovery.base.Source")
    try:
        inspect.signature(found).bind(**discover.params)
    except TypeError as error:
        raise ValueError(f"{discover.source} does not take these parameters: {error}") from None
    return found
