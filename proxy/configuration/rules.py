"""What can be wrong with a configuration, in plain words: key by key, and across keys and sections.

Invariant: a `Finding` names a place by its path in the document and never holds a term of the validation
library or of Python. The rules across keys read the plain data, not the models, so that they speak up even
while other keys are wrong.
"""

from __future__ import annotations

import difflib
import re
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, get_args, get_origin

from ..features.chaos.experiment import OFF_PATH, Experiment, malformed
from ..features.chaos.rules import STAGES_OF
from . import values as units
from .discovery_rules import broken_rules
from .schema import Config
from .tracing_rules import said_twice
from .values import described, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]

_ACTIONS = ("upstream", "redirect", "respond", "shard")
_MATCHES = ("path", "exact", "regex")
_WRITE = {
    "listeners": "[{bind: 127.0.0.1:8080}]",
    "routes": "[{path: /, upstream: app}]",
    "backends": "[127.0.0.1:9001]",
    "bind": "127.0.0.1:8080",
    "algorithm": "round_robin",
    "address": "127.0.0.1:9001",
    "from": "/old",
    "to": "/new",
}


class Finding(NamedTuple):
    """One thing wrong, before its place in the file is known."""

    path: Path
    message: str
    at_key: bool = False
    """The key itself is meant, not its value."""


def dotted(path: Path) -> str:
    """("routes", 2, "upstream") as "routes[2].upstream"."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if re.fullmatch(r"[\w<*-][\w.*-]*", part) else quoted(part))
    return text


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A closing hint at the most similar of the known words, or at all of them if they are few."""
    lowered = {name.lower(): name for name in known}
    if close := difflib.get_close_matches(word[:100].lower(), lowered, n=1):
        return f" (did you mean {lowered[close[0]]}?)"
    if 0 < len(known) <= 12:
        return f"; there is {', '.join(known)}" if len(known) == 1 else f"; there are {', '.join(known)}"
    return ""


# --- key by key -------------------------------------------------------------------------------------------


def model_findings(error: ValidationError, root: type[BaseModel] = Config) -> Iterator[Finding]:
    for item in error.errors(include_url=False):
        path, value, kind = item["loc"], item.get("input"), item["type"]
        if kind == "too_short" and value:
            continue  # its entries are wrong, and reported; the list itself is not too short
        if path[-1:] == ("[key]",):
            yield Finding(path[:-1], _words(kind, item.get("ctx", {}), value), at_key=True)
        elif kind == "extra_forbidden":
            yield Finding(path, _unknown_key(path, root), at_key=True)
        elif kind == "missing":
            yield Finding(path, f"is missing; write {path[-1]}: {_WRITE.get(str(path[-1]), 'a value')}")
        else:
            yield Finding(path, _words(kind, item.get("ctx", {}), value))


def _unknown_key(path: Path, root: type[BaseModel] = Config) -> str:
    if path[-1] == "<<":
        return "merge keys are not supported (YAML 1.2 has none); repeat the keys, or alias the whole value"
    return f"is no known key{did_you_mean(str(path[-1]), _known_keys(path[:-1], root))}"


def _known_keys(path: Path, root: type[BaseModel]) -> list[str]:
    """The keys of the section at this path, by walking the annotations of the models."""
    kind: Any = root
    for part in path:
        if hasattr(kind, "model_fields"):
            kind = _peeled(_annotations(kind)[str(part)])
        else:  # tuple[X, ...] or Mapping[str, X]
            kind = _peeled(get_args(kind)[isinstance(part, str)])
    return list(_annotations(kind))


def _annotations(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _peeled(annotation: Any) -> Any:
    """Without Annotated and "or None"."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return _peeled(get_args(annotation)[0])
    return annotation


def _words(kind: str, context: Mapping[str, Any], value: object) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return _one_of(re.findall(r"[\w-]+", context["expected"].replace(" or ", " ")), value)
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    must = f"must be {_EXPECTED[kind].format_map(context)}" if kind in _EXPECTED else "is not valid"
    if value is None:
        return f"has no value; it {must}"
    return f"{must}, not {described(value)}{_quoting(kind, value)}"


def _quoting(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, int | float):
        return "; put it in quotes"
    if isinstance(value, str):
        if kind == "int_type" and value.isdigit():
            return "; remove the quotes"
        if kind == "tuple_type":
            return f"; write [{quoted(value)}]"
    return ""


_EXPECTED = {
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "string_type": "text",
    "float_type": "a number",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}


def _one_of(choices: Sequence[str], value: object) -> str:
    hint = ""
    if isinstance(value, str) and (close := difflib.get_close_matches(value[:100].lower(), choices, n=1)):
        hint = f" (did you mean {close[0]}?)"
    return f"must be {', '.join(choices[:-1])} or {choices[-1]}, not {described(value)}{hint}"


# --- across keys and sections -----------------------------------------------------------------------------


def rule_findings(data: Mapping[str, Any], algorithms: Collection[str]) -> Iterator[Finding]:
    """What no single section can know. `data` may be wrong in every other way."""
    yield from _same_address(("listeners",), data.get("listeners"), "bind")
    yield from _admin(mapping(data.get("admin")))
    upstreams = mapping(data.get("upstreams"))
    for name, upstream in upstreams.items():
        if isinstance(upstream, dict):
            yield from _upstream(("upstreams", name), upstream, algorithms)
    for path, route in _entries(("routes",), data.get("routes")):
        if isinstance(route, dict):
            given = {key: value for key, value in route.items() if value is not None}
            yield from _route(path, given, upstreams)
            if isinstance(data.get("tracing"), dict):
                for change, name in said_twice(mapping(given.get("request_headers"))):
                    words = "is written by tracing; remove it here"
                    yield Finding((*path, "request_headers", change, name), words, at_key=True)
            yield from _names((*path, "rate_limits"), given.get("rate_limits"), mapping(data.get("rate_limits")))
    yield from _chaos(("chaos",), mapping(data.get("chaos")), upstreams)


def _admin(admin: Mapping[str, Any]) -> Iterator[Finding]:
    """It can stop the proxy: beyond this machine it is for those who have the token."""
    if admin.get("token") is not None and admin.get("token_file") is not None:
        yield Finding(("admin", "token_file"), "excludes token; give one of the two", at_key=True)
    try:
        address = units.parse_bind(admin.get("bind"))
    except ValueError:
        return  # reported already
    if address.kind == "unix":
        yield Finding(("admin", "bind"), "must be host:port; a Unix socket is there anyway (see --run-dir)")
    elif not (units.is_loopback(address.host) or admin.get("token") or admin.get("token_file")):
        yield Finding(("admin", "bind"), "is no loopback address: add a token or a token_file, or listen on 127.0.0.1")


def mapping(value: Any) -> dict[str, Any]:
    """What should be a mapping, as one."""
    return value if isinstance(value, dict) else {}


def _entries(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield (*path, index), entry


def _same_address(path: Path, entries: Any, key: str) -> Iterator[Finding]:
    seen: dict[units.Address, str] = {}
    for where, entry in _entries(path, entries):
        text = mapping(entry).get(key, entry)
        try:
            address = units.parse_bind(text) if key == "bind" else units.parse_address(text)
        except ValueError:
            continue  # reported already
        if address in seen and (address.kind == "unix" or address.port):
            at = (*where, key) if isinstance(entry, dict) else where
            yield Finding(at, f"{address} is given twice; the first is {seen[address]}")
        seen.setdefault(address, dotted(where))


def _upstream(path: Path, upstream: Mapping[str, Any], algorithms: Collection[str]) -> Iterator[Finding]:
    yield from _same_address((*path, "backends"), upstream.get("backends"), "address")
    yield from _discover(path, upstream)
    balance = upstream.get("balance")
    name, where = balance, (*path, "balance")
    if isinstance(balance, dict):
        name, where = balance.get("algorithm"), (*where, "algorithm")
    if isinstance(name, str) and ":" not in name and name not in algorithms:
        yield Finding(where, f"there is no algorithm {quoted(name)}{did_you_mean(name, algorithms)}")
    pool = mapping(upstream.get("pool"))
    least, most = pool.get("min"), pool.get("max", 1024)
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield Finding((*path, "pool", "min"), f"must be at most pool.max, which is {most}; not {least}")


def _discover(path: Path, upstream: Mapping[str, Any]) -> Iterator[Finding]:
    """Backends must come from somewhere, and `discover` must say one place."""
    discover, where = upstream.get("discover"), (*path, "discover")
    if discover is None and "backends" not in upstream:
        words = "is missing; write backends: [127.0.0.1:9001], or discover: {dns: app.internal:9001}"
        yield Finding((*path, "backends"), words)
    elif discover is None and upstream["backends"] == []:
        yield Finding((*path, "backends"), "must not be empty without discover")
    for broken in broken_rules(discover) if isinstance(discover, dict) else ():
        at = (*where, broken.key) if broken.key else where
        yield Finding(at, _unknown_key(at) if broken.unknown else broken.message, broken.at_key)


def _route(path: Path, route: Mapping[str, Any], upstreams: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _exactly_one(path, route)
    name = route.get("upstream")
    if isinstance(name, str) and name not in upstreams:
        hint = did_you_mean(name, upstreams)
        yield Finding((*path, "upstream"), f"there is no upstream {quoted(name)}{hint}")
    yield from _prefixes(path, route)
    respond = mapping(route.get("respond"))
    if respond.get("body") and respond.get("status") in (204, 205, 304):
        yield Finding((*path, "respond", "body"), f"a response with status {respond['status']} has no body")
    for name, condition in mapping(route.get("headers")).items():
        known = {"exact", "present", "regex"}
        if isinstance(condition, dict) and condition.keys() <= known and len(condition) != 1:
            yield Finding((*path, "headers", name), "needs exactly one of exact, present and regex")
    for section in ("request_headers", "response_headers"):
        for change in ("set", "append"):
            names = mapping(mapping(route.get(section)).get(change))
            yield from _same_name((*path, section, change), names)
    yield from _same_name((*path, "headers"), mapping(route.get("headers")))


def _names(path: Path, names: Any, limits: Mapping[str, Any]) -> Iterator[Finding]:
    for where, name in _entries(path, names):
        if isinstance(name, str) and name not in limits:
            yield Finding(where, f"there is no rate limit {quoted(name)}{did_you_mean(name, limits)}")


def _exactly_one(path: Path, route: Mapping[str, Any]) -> Iterator[Finding]:
    matches = [key for key in route if key in _MATCHES]
    for key in matches[1:]:
        yield Finding((*path, key), f"excludes {matches[0]}; give one of path, exact and regex", at_key=True)
    actions = [key for key in route if key in _ACTIONS]
    for key in actions[1:]:
        yield Finding((*path, key), f"excludes {actions[0]}; give one of upstream, redirect and respond", at_key=True)
    if not actions and not any(difflib.get_close_matches(key[:100], _ACTIONS) for key in route):
        yield Finding(path, "the route has no action; give one of upstream, redirect and respond")


def _prefixes(path: Path, route: Mapping[str, Any]) -> Iterator[Finding]:
    """strip_prefix and replace_prefix: for forwarded requests only, one of them, and it must be there."""
    given = [key for key in route if key in ("strip_prefix", "replace_prefix")]
    for key in given[1:]:
        yield Finding((*path, key), f"excludes {given[0]}; give one of the two", at_key=True)
    for key in given:
        if "upstream" not in route:
            yield Finding((*path, key), "needs upstream: nothing else has its path changed", at_key=True)
        value, where = route[key], (*path, key)
        if isinstance(value, dict):
            value, where = value.get("from"), (*where, "from")
        for match in ("path", "exact"):
            matched = route.get(match, "/" if match == "path" and not {*_MATCHES} & route.keys() else None)
            if isinstance(value, str) and isinstance(matched, str) and not _within(matched, value):
                yield Finding(where, f"must be a prefix of {match}, which is {quoted(matched)}")


def _within(path: str, prefix: str) -> bool:
    """Does the path begin with the prefix, at a segment boundary?"""
    return f"{path.rstrip('/')}/".startswith(f"{prefix.rstrip('/')}/")


def _same_name(path: Path, names: Mapping[str, Any]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            yield Finding((*path, name), f"is the same header as {seen[name.lower()]}", at_key=True)
        seen.setdefault(name.lower(), name)


def _chaos(path: Path, chaos: Mapping[str, Any], upstreams: Mapping[str, Any]) -> Iterator[Finding]:
    if chaos.get("enabled") is True and chaos.get("audit") is None:
        yield Finding(path, "needs audit where it is enabled: a file that experiments are written down in")
    monkey = mapping(chaos.get("monkey"))
    first, last = monkey.get("from_hour", 9), monkey.get("to_hour", 15)
    if isinstance(first, int) and isinstance(last, int) and first >= last:
        yield Finding((*path, "monkey"), f"from_hour has to be before to_hour: {first} is not before {last}")
    seen: dict[str, str] = {}
    for where, entry in _entries((*path, "rules"), chaos.get("rules")):
        rule = mapping(entry)
        name = rule.get("name")
        if isinstance(name, str) and name in seen:
            yield Finding((*where, "name"), f"{quoted(name)} is given twice; the first is {seen[name]}")
        if isinstance(name, str):
            seen.setdefault(name, dotted(where))
        yield from _chaos_rule(where, rule, upstreams)


def _chaos_rule(path: Path, rule: Mapping[str, Any], upstreams: Mapping[str, Any]) -> Iterator[Finding]:
    fault, stage, header = rule.get("fault"), rule.get("stage"), rule.get("header") or ""
    match = mapping(rule.get("match"))
    for index, name in enumerate(match.get("upstreams") or ()):
        if isinstance(name, str) and name not in upstreams:
            hint = did_you_mean(name, upstreams)
            yield Finding((*path, "match", "upstreams", index), f"there is no upstream {quoted(name)}{hint}")
    known = fault in OFF_PATH or fault in STAGES_OF
    if not known or not isinstance(header, str) or not (stage is None or stage in STAGES_OF["delay"]):
        return  # reported already
    found = stage or STAGES_OF.get(str(fault), ("",))[0]
    backends = ("some",) if match.get("backends") else ()
    for message in malformed(Experiment("", str(fault), found, backends=backends, header=header)):
        yield Finding(path, message)
