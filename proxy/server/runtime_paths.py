"""Where a running proxy can be found: the folder of its sockets, and the names in it.

Law of this file: names follow from the path of the configuration, so that a command that is given the same file finds
the process that serves it, even if what stands in the file is wrong by now. The folder belongs to this user alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from ..errors import BindError

SOCKET_PATH_MAX = 107
"""`sun_path` has 108 bytes with the closing NUL (unix(7))."""


def run_dir(wanted: str | None = None, asking: bool = False) -> Path:
    """The folder: `wanted`, or systemd's, or the user's, or one in /tmp. Made if it is not there.

    With `asking` nothing is opened there, so root may use that of any user. Raises BindError if it cannot be used.
    """
    path = Path(wanted) if wanted else default_run_dir()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise BindError(
            f"cannot use {path} for sockets: {error.strerror}; name one of your own with --run-dir"
        ) from error
    trusted = found.st_uid in (os.geteuid(), 0) or (asking and os.geteuid() == 0)
    if not stat.S_ISDIR(found.st_mode) or not trusted:
        raise BindError(f"{path} belongs to somebody else; name one of your own with --run-dir")
    return path


def default_run_dir() -> Path:
    if folder := os.environ.get("QANTARA_RUN_DIR"):
        return Path(folder)
    if folder := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(folder.split(":")[0])
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(folder) / "qantara"
    return Path(f"/tmp/qantara-{os.geteuid()}")


class RuntimePaths:
    """The sockets of the proxy that serves the configuration in the file `config`."""

    def __init__(self, folder: Path, config: str) -> None:
        absolute = os.path.abspath(config)
        digest = hashlib.sha256(absolute.encode()).hexdigest()[:8]
        self.folder = folder
        self.name = f"{Path(absolute).stem[:32]}-{digest}"
        if len(str(self.takeover(2**22))) > SOCKET_PATH_MAX:
            raise BindError(f"{folder} is too long a path for Unix sockets; name a shorter one with --run-dir")

    @property
    def control(self) -> Path:
        """The control socket of the supervisor."""
        return self.folder / f"{self.name}.sock"

    def takeover(self, pid: int) -> Path:
        """The takeover socket of the process `pid`."""
        return self.folder / f"{self.name}.{pid}.take"

    def takeovers(self) -> list[tuple[int, Path]]:
        """Process id and path of all takeover sockets."""
        found = []
        for path in self.folder.glob(f"{self.name}.*.take"):
            pid = path.name.removeprefix(f"{self.name}.").removesuffix(".take")
            if pid.isdigit():
                found.append((int(pid), path))
        return sorted(found)
