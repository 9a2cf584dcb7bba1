"""The folders from which a user's algorithms and discovery sources are imported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from ...balancing.python_path import distrust
from ..fields import File, List

PythonPath = List[File]
EFFECTS = (("*", "modules that have been imported stay as they are until a restart or an upgrade"),)


def resolved(folders: Sequence[str], config: str) -> tuple[str, ...]:
    """Absolute paths of folders, which are relative to the folder of the file `config`."""
    base = os.path.dirname(os.path.abspath(config))
    return tuple(os.path.normpath(os.path.join(base, folder)) for folder in folders)


def wrong_folders(folders: Any, config: str) -> Iterator[tuple[int, str]]:
    """Index and fault of each folder that cannot be used. `folders` is plain data of the file `config`, of any type."""
    for index, folder in enumerate(folders if isinstance(folders, list) else ()):
        if not isinstance(folder, str) or not folder or "\0" in folder:
            continue  # reported already
        (path,) = resolved((folder,), config)
        try:
            if not os.path.isdir(path):
                os.stat(path)
                yield index, f"{path} is not a folder; name the one that the module lies in"
            elif why := distrust(path):
                yield index, why
        except FileNotFoundError:
            yield index, f"there is no folder {path}; paths are relative to the folder of this file"
        except OSError as error:
            yield index, f"{path} cannot be used: {error.strerror}"
