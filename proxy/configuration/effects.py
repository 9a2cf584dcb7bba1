"""Changes between two configurations, key by key, and the effect of each in a reload.

Law of this file: the effects (EFFECTS of each section) describe the behaviour of a reload, and change with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from .findings import Path, dotted
from .render import HIDDEN, annotated, entry_of, is_secret, show
from .sections import SECTIONS

RESTART = "needs a restart or an upgrade"
DRAINED = "is drained: requests in flight finish, new ones go to others"
TAKES = "takes requests, with slow start"
DEFAULT = "holds for requests that begin after the reload"

GENERAL = (
    ("watch", "the file is watched from then on, or no longer"),
    ("workers", "workers are started, or drained and ended, until there are so many"),
    ("upstreams.*.panic", "ejections and counters stay"),
)
"""The effects of keys outside the files of sections."""


class ConfigChange(NamedTuple):
    """A difference between two configurations."""

    action: Literal["added", "removed", "changed", "moved"]
    what: str
    """A dotted key, or an entry: `listener 127.0.0.1:8080`, `backend app 10.0.0.7:9001`, `route api`."""
    before: str = ""
    """In the notation of the file; "" if it was absent."""
    after: str = ""
    effect: str = ""
    """The effect at run time."""


@cache
def effects() -> tuple[tuple[str, str], ...]:
    """The effects of changes, by patterns of dotted keys; the first match applies."""
    found = [(entry.prefix + end, effect) for entry in SECTIONS for end, effect in entry.hook("EFFECTS") or ()]
    return (*GENERAL, *found)


def effect_of(key: str) -> str:
    return next((effect for pattern, effect in effects() if fnmatchcase(key, pattern)), DEFAULT)


def value_changes(
    path: Path, old: object, new: object, annotation: Any, but: Sequence[str] = ()
) -> Iterator[ConfigChange]:
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
    """Key, attribute and annotation of each comparable field of two sections."""
    for name, field in type(old).model_fields.items():
        yield field.alias or name, name, annotated(field)
    for key in dict.fromkeys([*(old.model_extra or {}), *(new.model_extra or {})]):
        yield key, key, None


def _changed(path: Path, old: object, new: object, annotation: Any) -> ConfigChange:
    key = dotted(path)
    hidden = is_secret(str(path[-1]), annotation)
    was, now = (HIDDEN if hidden else show(value, annotation) for value in (old, new))
    return ConfigChange("changed", key, was, now, effect_of(key))
