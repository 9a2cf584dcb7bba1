"""Values of rate limits: rates, what is counted by, where it is shared.

Law of this file: as in units.py, a function takes what stands in the file and returns a value, or raises ValueError
with a sentence for people.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from . import values as units


class Rate(NamedTuple):
    """So many requests within `period` seconds."""

    requests: int
    period: float
    text: str

    def __str__(self) -> str:
        return self.text


RATE = r"([1-9][0-9]{0,8})/((?:[1-9][0-9]{0,5})?)(s|m|h|d)"
_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_rate(value: object) -> Rate:
    """A rate such as 100/s, 1000/10s or 5000/h."""
    found = re.fullmatch(RATE, value) if isinstance(value, str) else None
    if found is None or not isinstance(value, str):
        raise ValueError(f"must be a rate such as 100/s, 1000/10s or 5000/h, not {units.described(value)}")
    rate = Rate(int(found[1]), float(found[2] or 1) * _PERIODS[found[3]], value)
    if rate.requests > 1e9 * rate.period:
        raise ValueError("must be at most 1000000000/s")
    return rate


def check_rate_key(value: str) -> str:
    """What requests are counted by."""
    if value == "client_ip":
        return value
    try:
        return units.check_key(value)
    except ValueError as error:
        raise ValueError(str(error).replace("must be", "must be client_ip,", 1)) from None


def check_redis_url(value: str) -> str:
    if not re.fullmatch(r"(redis|rediss|unix)://[^\s\x00-\x1f\x7f]+", value):
        raise ValueError(f"must be redis://host:port/database, rediss://… or unix://…, not {units.quoted(value)}")
    return value
