"""The origin: a small nginx that answers fixed bodies, swallows uploads, and counts what reached it."""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .peers import ORIGIN
from .processes import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JSON = (
    '{"id":18,"name":"bridge","city":"Cordoba","spans":16,"length":247.5,"built":"1st century","open":true,'
    '"tags":["stone","arch","river"]}'
)
BODIES = {
    "/json": JSON.encode(),
    "/16k": bytes(range(256)) * 64,
    "/1m": bytes(range(256)) * 4096,
    "/post": b'{"accepted":true}',
}


@dataclass(frozen=True, slots=True)
class Origin:
    port: int
    pid: int
    asked: list[int] = field(default_factory=list)

    def requests(self) -> int:
        """Return how many requests the origin has handled (nginx stub_status, third number) but for these."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/count")
            handled = int(connection.getresponse().read().split(b"\n")[2].split()[2])
        self.asked.append(handled)
        return handled - len(self.asked)


@contextlib.contextmanager
def serve(folder: Path, core: int) -> Iterator[Origin]:
    """Run the origin on one core."""
    port = free_port()
    files = folder / "files"
    files.mkdir(parents=True)
    for name in ("/16k", "/1m"):
        (files / name[1:]).write_bytes(BODIES[name])
    (files / "post").touch()
    argv = ORIGIN.prepare(folder, port, port, JSON=JSON)
    with running(argv, core, ("127.0.0.1", port), folder / "log") as process:
        yield Origin(port, process.pid)
