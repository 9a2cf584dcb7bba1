"""Folders that modules of a user's own are imported from: `python_path` of the configuration.

Law of this file: a module comes from such a folder only while its file and every folder above it belong to root or the
user of this process, and no other user can write to them (as with StrictModes of sshd(8)). The folders come after all
others of the path, so that they shadow neither modules of Python nor installed packages.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from shlex import quote
from types import ModuleType

ROOT = 0
"""The user id that may always write."""

_folders: tuple[str, ...] = ()
"""What is on the path because of the configuration."""


def use_folders(folders: Sequence[str]) -> None:
    """Import from these absolute paths from now on, and not from those of the call before. Modules that have been
    imported stay as they are."""
    global _folders
    wanted = tuple(folders)
    if wanted == _folders:
        return
    if _hook not in sys.path_hooks:
        sys.path_hooks.insert(0, _hook)
    others = [entry for entry in sys.path if entry not in _folders]
    sys.path[:] = [*others, *(folder for folder in wanted if folder not in others)]
    for folder in (*_folders, *wanted):
        sys.path_importer_cache.pop(folder, None)
    _folders = wanted


def distrust(path: str) -> str:
    """Why what is imported from `path` may be another user's doing, with the command that repairs it; "" if it cannot.

    Raises OSError if it cannot be looked at. A folder above with the sticky bit (/tmp) may be writable: what belongs to
    this user cannot be replaced in it.
    """
    absolute, real = os.path.abspath(path), os.path.realpath(path)
    for part in dict.fromkeys((*_upwards(absolute), *_upwards(real))):
        info = os.lstat(part)
        if info.st_uid not in (ROOT, os.geteuid()):
            user = _user(os.geteuid())
            trusted = " or ".join(dict.fromkeys(("root", user)))
            return f"{part} belongs to user {_user(info.st_uid)}, not to {trusted}; type chown -h {user} {quote(part)}"
        if stat.S_ISLNK(info.st_mode) or (info.st_mode & stat.S_ISVTX and part not in (absolute, real)):
            continue
        group, others = info.st_mode & stat.S_IWGRP, info.st_mode & stat.S_IWOTH
        if group or others:
            writers = "its group" * bool(group) + " and " * bool(group and others) + "everybody" * bool(others)
            return (
                f"{part} can be written by {writers}, whose code would run in the proxy; type chmod go-w {quote(part)}"
            )
    return ""


def _upwards(path: str) -> Iterator[str]:
    yield path
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class _SourceLoader(SourceFileLoader):
    """Compiles the source each time: a cached .pyc would be one more file to trust, in a folder that Python makes."""

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError("no cache")


class _Finder(FileFinder):
    """Finds the modules of one folder, and refuses those that others can change."""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = super().find_spec(fullname, target)
        if spec is not None:
            found = spec.origin if spec.has_location else None
            for place in (found,) if found is not None else spec.submodule_search_locations or ():
                if why := distrust(place):
                    raise ImportError(why, name=fullname, path=place)
        return spec


def _hook(folder: str) -> _Finder:
    """The entry of sys.path_hooks: takes the folders of `python_path` and those of packages in them."""
    if not any(folder == top or folder.startswith(f"{top}{os.sep}") for top in _folders):
        raise ImportError("not a folder of python_path", path=folder)
    return _Finder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceLoader, SOURCE_SUFFIXES))
