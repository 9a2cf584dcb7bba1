"""MaxMind DB files for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write(path: Path, records: Mapping[str, Any], version: int = 6) -> Path:
    """A file that says of each network what `records` says; one of `version` 4 has no room for IPv6."""
    writer = MMDBWriter(version, "Test", ipv4_compatible=version == 6, float_type="f64", int_type="u32")
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    new = path.with_suffix(".new")
    writer.to_db_file(str(new))
    new.rename(path)
    return path
