"""Values as a configuration file writes them: the way back from `units`.

Invariant: each result is parsed by its counterpart in `units` to the same value; only secrets are masked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, PlainValidator

from . import values as units

SECRETS = frozenset("token password secret authorization proxy-authorization cookie".split())
"""Keys with masked values."""
SECRET = "secret"
"""In an annotation: the value is masked, whatever its key."""
HIDDEN = "(hidden)"
_DURATIONS = ((3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def show_duration(seconds: float) -> str:
    """Seconds in the largest unit that needs no fraction: 0.25 as 250ms, 90 as 90s, 7200 as 2h."""
    milliseconds = round(seconds * 1000, 6)
    for unit, name in _DURATIONS:
        if milliseconds and milliseconds % unit == 0:
            return f"{int(milliseconds // unit)}{name}"
    return f"{milliseconds:.6f}".rstrip("0").rstrip(".") + "ms" if milliseconds else "0s"


def show_size(size: int) -> str:
    """Bytes in the largest unit that needs no fraction: 65536 as 64KiB, 1000 as 1000."""
    for unit, name in _SIZES:
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def show_percent(share: float) -> str:
    return f"{share * 100:.4f}".rstrip("0").rstrip(".") + "%"


_BY_PARSER: dict[Any, Callable[[Any], str]] = {
    units.parse_duration: show_duration,
    units.parse_positive_duration: show_duration,
    units.parse_size: show_size,
    units.parse_head_size: show_size,
    units.parse_percent: show_percent,
}


def show(value: object, annotation: Any = None, but: Collection[str] = ()) -> str:
    """A value of a checked configuration, in flow style; of a section, the keys that were given, without `but`."""
    shower = _shower(annotation)
    if isinstance(value, BaseModel):
        entries = [(key, getattr(value, name), kind) for key, name, kind in given(value) if key not in but]
        return _mapping(entries)
    if value is not None and shower is not None:
        return shower(value)
    if isinstance(value, Mapping):
        return _mapping([(str(key), entry, entry_of(annotation)) for key, entry in value.items()])
    if isinstance(value, list | tuple | frozenset) and not hasattr(value, "_fields"):
        return "[" + ", ".join(show(entry, entry_of(annotation)) for entry in value) + "]"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return quoted_if_needed(str(value))


def given(section: BaseModel) -> list[tuple[str, str, Any]]:
    """Key, attribute and annotation of what was given in a section."""
    known = [
        (field.alias or name, name, annotated(field))
        for name, field in type(section).model_fields.items()
        if name in section.model_fields_set
    ]
    return known + [(key, key, None) for key in section.model_extra or {}]


def annotated(field: Any) -> Any:
    """The annotation of a field as written, for pydantic takes its metadata apart."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def entry_of(annotation: Any) -> Any:
    """The annotation of the entries of a list or a mapping; None if there is none."""
    bare = without_null(annotation)
    arguments = get_args(bare)
    return arguments[1 if get_origin(bare) is not tuple else 0] if len(arguments) > 1 else None


def without_null(annotation: Any) -> Any:
    """Without Annotated and "or None"."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return without_null(get_args(annotation)[0])
    return annotation


def quoted_if_needed(text: str) -> str:
    """Text in flow style, quoted where YAML would read another value."""
    plain = text and all(char.isalnum() or char in "/._-+*:" for char in text) and text.isascii()
    special = text.lower() in ("null", "true", "false", "yes", "no", "on", "off", "~")
    odd = not text[:1].isalpha() and not text.startswith("/") and not _is_address(text)
    return text if plain and not special and not odd and not text.endswith(":") else _in_quotes(text)


def _in_quotes(text: str) -> str:
    """In double quotes, with YAML's escapes for unprintable characters."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(colon) and port.isdigit() and host.count(".") == 3


def _mapping(entries: Iterable[tuple[str, object, Any]]) -> str:
    shown = (f"{key}: {HIDDEN if is_secret(key, kind) else show(value, kind)}" for key, value, kind in entries)
    return "{" + ", ".join(shown) + "}"


def is_secret(key: str, annotation: Any) -> bool:
    """Whether the value of a key is masked. A section is not: its keys are checked one by one."""
    bare = without_null(annotation)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return False
    return key.lower() in SECRETS or (get_origin(annotation) is Annotated and SECRET in get_args(annotation)[1:])


def _shower(annotation: Any) -> Callable[[Any], str] | None:
    """How a value of this annotation is written, by the parser that has read it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        for item in metadata:
            if isinstance(item, PlainValidator) and item.func in _BY_PARSER:
                return _BY_PARSER[item.func]
        return _shower(inner)
    if origin in (Union, UnionType):
        return next((found for part in get_args(annotation) if (found := _shower(part))), None)
    return None
