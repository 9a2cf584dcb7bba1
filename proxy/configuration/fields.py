"""The base of all models of the configuration, and the types of their values.

Invariant: a type here converts a value of the file, or raises ValueError with a message for the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
)

from . import values as units
from .values import Address

T = TypeVar("T")


def duration(text: str) -> Any:
    """A default, written as in the file; the JSON Schema shows it that way too."""
    return Field(default=units.parse_duration(text), json_schema_extra={"default": text})


def size(text: str) -> Any:
    return Field(default=units.parse_size(text), json_schema_extra={"default": text})


def percent(text: str) -> Any:
    return Field(default=units.parse_percent(text), json_schema_extra={"default": text})


def bare(key: str, model: type[BaseModel]) -> BeforeValidator:
    """Accepts a bare string in place of a mapping with that one key."""
    return BeforeValidator(
        lambda value: {key: value} if isinstance(value, str) else value,
        json_schema_input_type=str | model,
    )


_DURATION_SCHEMA = {"type": "string", "pattern": f"^{units.DURATION}$", "examples": ["250ms", "2s", "5m"]}
_SIZE_SCHEMA = {
    "anyOf": [{"type": "string", "pattern": f"^{units.SIZE}$"}, {"type": "integer", "exclusiveMinimum": 0}],
    "examples": ["64KiB", "1MiB", "1GiB"],
}
_ADDRESS_SCHEMA = {"type": "string", "examples": ["127.0.0.1:9001", "[::1]:9001", "unix:/run/app.sock"]}
_BIND_SCHEMA = {"type": "string", "examples": ["127.0.0.1:8080", "[::1]:8080", ":8080", "unix:/run/q.sock"]}

Duration = Annotated[float, PlainValidator(units.parse_positive_duration), WithJsonSchema(_DURATION_SCHEMA)]
GraceDuration = Annotated[float, PlainValidator(units.parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
"""A duration that may be 0s."""
Size = Annotated[int, PlainValidator(units.parse_size), WithJsonSchema(_SIZE_SCHEMA)]
HeadSize = Annotated[int, PlainValidator(units.parse_head_size), WithJsonSchema(_SIZE_SCHEMA)]
BackendAddress = Annotated[
    Address, PlainValidator(units.parse_address), PlainSerializer(str), WithJsonSchema(_ADDRESS_SCHEMA)
]
Bind = Annotated[Address, PlainValidator(units.parse_bind), PlainSerializer(str), WithJsonSchema(_BIND_SCHEMA)]
Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(units.parse_network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "fd00::/8"]}),
]
Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(units.parse_workers),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1024}, {"const": "auto"}]}),
]
Percent = Annotated[
    float,
    PlainValidator(units.parse_percent),
    WithJsonSchema({"type": "string", "pattern": f"^{units.PERCENT}$", "examples": ["50%", "0.5%"]}),
]
"""A share from 0 to 1, written with a percent sign."""
Count = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""At least one; the upper bound is what a C `int` holds."""
Whole = Annotated[int, Field(ge=0, le=2**31 - 1)]
List = Annotated[tuple[T, ...], Strict(False)]
"""A YAML list, kept as a tuple: Strict(False) lets pydantic take a list for it."""

Host = Annotated[str, AfterValidator(units.check_host)]
Path = Annotated[str, AfterValidator(units.check_path)]
File = Annotated[str, Field(min_length=1), AfterValidator(units.check_file)]
Regex = Annotated[str, AfterValidator(units.check_regex)]
Token = Annotated[str, AfterValidator(units.check_token)]
Method = Annotated[str, AfterValidator(units.check_token), AfterValidator(str.upper)]
Protocol = Annotated[str, AfterValidator(units.check_upgrade)]
HeaderValue = Annotated[str, AfterValidator(units.check_header_value)]
HeaderName = Annotated[str, AfterValidator(units.check_header_name)]
HeaderButHost = Annotated[str, AfterValidator(units.check_header_but_host)]
HeadersToSet = Mapping[HeaderButHost, HeaderValue]
RequestHeadersToSet = Mapping[HeaderName, HeaderValue]
RespondHeaders = Mapping[Annotated[str, AfterValidator(units.check_respond_header)], HeaderValue]
Later = Annotated[None, PlainValidator(units.refuse_shards), WithJsonSchema({"type": "null"})]


class Section(BaseModel):
    """The base of all sections: no unknown keys, no guessed types, no change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
