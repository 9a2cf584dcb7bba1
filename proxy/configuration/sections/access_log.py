"""The access log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from ..fields import Duration, File, List, Section, Size, duration, size

if TYPE_CHECKING:
    from ...plan import AccessLogSpec
    from ..site import Site


class AccessLogSection(Section):
    path: File = "-"
    """A file, or "-" for standard output."""
    format: Literal["json", "combined"] = "json"
    """One JSON object a line, or the combined log format of Apache and nginx."""
    buffer: Size = size("64KiB")
    """The log is written when this many bytes are buffered."""
    fields: List[Literal["backends", "queue_time", "upstream_connect_time", "upstream_header_time"]] = ()
    """Further fields, for the JSON format: the backends of all attempts, and the durations of steps."""
    flush: Duration = duration("1s")
    """The log is written at the latest after this time."""

    @model_validator(mode="after")
    def _has_place(self) -> AccessLogSection:
        if self.fields and self.format != "json":
            raise ValueError("the combined format has no place for fields; write format: json")
        return self


EFFECTS = (("*", "the log is opened anew; no line is lost"),)


def to_spec(log: AccessLogSection, site: Site) -> AccessLogSpec:
    from ...plan import AccessLogSpec

    return AccessLogSpec(log.path, log.format, log.buffer, log.flush, log.fields)
