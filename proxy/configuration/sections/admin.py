"""The admin API on a TCP address."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from ..fields import Bind, File, Section

SECRET_MIN = 16
"""Characters: what cannot be guessed in time."""


def check_secret(value: str) -> str:
    if len(value) < SECRET_MIN:
        raise ValueError(f"must have at least {SECRET_MIN} characters")
    return value


class Admin(Section):
    bind: Bind
    """Where the admin API listens, besides the control socket: host:port."""
    token: Annotated[str, AfterValidator(check_secret)] | None = None
    """What clients have to send as "Authorization: Bearer TOKEN". Needed on any address but a loopback one."""
    token_file: File | None = None
    """A file that holds the token, so that it need not stand here."""
