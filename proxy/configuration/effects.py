"""One change of a configuration, how two sections are compared key by key, and what each change means when it is
taken up.

Law of this file: the table of effects says what a reload does; whoever changes the one changes the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from .render import HIDDEN, annotated, entry_of, is_secret, show
from .rules import Path, dotted

RESTART = "needs a restart or an upgrade"
DRAINED = "is drained: requests in flight finish, new ones go to others"
TAKES = "takes requests, with slow start"
DEFAULT = "holds for requests that begin after the reload"

EFFECTS = (
    ("admin*", RESTART),
    ("python_path*", "modules that have been imported stay as they are until a restart or an upgrade"),
    ("watch", "the file is watched from then on, or no longer"),
    ("workers", "workers are started, or drained and ended, until there are so many"),
    ("access_log*", "the log is opened anew; no line is lost"),
    ("tracing*", "holds for requests that end after the reload; what waits is sent as before"),
    ("timeouts.accept_grace", "holds for the next stop"),
    ("timeouts.drain", "holds for the next stop"),
    ("timeouts.keepalive", "holds for connections from their next request on"),
    ("limits.connections*", "holds for new connections; none is closed"),
    ("upstreams.*.balance*", "picks from the next request on; what was learned of the backends stays"),
    ("upstreams.*.pool*", "pools keep their connections"),
    ("upstreams.*.discover*", "the source is asked anew; its backends stay until it answers"),
    ("upstreams.*.health*", "checks go on with it; what is known of the backends stays"),
    ("upstreams.*.timeouts.connect", "holds for new connections to backends"),
    ("timeouts.connect", "holds for new connections to backends"),
    ("upstreams.*.outlier*", "ejections and counters stay"),
    ("upstreams.*.slow_start*", "ejections and counters stay"),
    ("upstreams.*.panic", "ejections and counters stay"),
)
"""What a change of a key means; the first pattern that fits."""


class Change(NamedTuple):
    """One thing that would be another."""

    action: Literal["added", "removed", "changed", "moved"]
    what: str
    """A dotted key, or what it is about: `listener 127.0.0.1:8080`, `backend app 10.0.0.7:9001`, `route api`."""
    before: str = ""
    """As the file writes it; "" if there was nothing."""
    after: str = ""
    effect: str = ""
    """What that means for what is running."""


def effect_of(key: str) -> str:
    return next((effect for pattern, effect in EFFECTS if fnmatchcase(key, pattern)), DEFAULT)


def value_changes(path: Path, old: object, new: object, annotation: Any, but: Sequence[str] = ()) -> Iterator[Change]:
    """Key by key where both are sections of the same kind or mappings; else as a whole. Without the keys `but`."""
    if old == new:
        return
    if isinstance(old, BaseModel) and isinstance(new, BaseModel) and type(old) is type(new):
        for key, name, kind in _keys(old, new):
            if key not in but:
                yield from value_changes((*path, key), getattr(old, name, None), getattr(new, name, None), kind)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from value_changes((*path, key), old.get(key), new.get(key), entry_of(annotation))
    else:
        yield _changed(path, old, new, annotation)


def _keys(old: BaseModel, new: BaseModel) -> Iterator[tuple[str, str, Any]]:
    """Key, attribute and annotation of everything that two sections may differ in."""
    for name, field in type(old).model_fields.items():
        yield field.alias or name, name, annotated(field)
    for key in dict.fromkeys([*(old.model_extra or {}), *(new.model_extra or {})]):
        yield key, key, None


def _changed(path: Path, old: object, new: object, annotation: Any) -> Change:
    key = dotted(path)
    hidden = is_secret(str(path[-1]), annotation)
    was, now = (HIDDEN if hidden else show(value, annotation) for value in (old, new))
    return Change("changed", key, was, now, effect_of(key))
