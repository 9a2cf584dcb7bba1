"""Nothing is imported from the working folder, by this process or by those that it starts.

Law of this file: it runs before the working folder is off the path. So it imports only what Python has loaded before
that; not even `__future__`, which is a file.
"""

import os
import sys


def leave_working_folder() -> None:
    """Take the working folder off the path of this process and of its children: `python -m` puts it first, and an empty
    entry of PYTHONPATH means it. An entry that names it stays."""
    try:
        here = os.getcwd()
    except OSError:  # removed: nothing can be imported from it
        here = ""
    dropped = ""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", here):
        dropped = sys.path.pop(0) or here
    given = os.environ.get("PYTHONPATH", "")
    named = [entry for entry in given.split(os.pathsep) if entry]
    empty = given != os.pathsep.join(named)
    if empty and here in sys.path and here not in map(os.path.abspath, named):
        sys.path.remove(here)
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if dropped == os.path.dirname(package) and not _found_without(package):
        named.insert(0, dropped)  # a checkout that is not installed: children run the same one
    if named:
        os.environ["PYTHONPATH"] = os.pathsep.join(named)
    else:
        os.environ.pop("PYTHONPATH", None)


def _found_without(package: str) -> bool:
    """Whether a child finds the same package on its own path."""
    for finder in sys.meta_path:
        spec = finder.find_spec(os.path.basename(package), None)
        if spec is not None:
            return package in map(os.path.abspath, spec.submodule_search_locations or ())
    return False


def python_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module in a child process, with the safe path (`-P`) and as isolated as this process."""
    flags = ["-P"]
    if sys.flags.ignore_environment:
        flags.append("-E")
    if sys.flags.no_user_site:
        flags.append("-s")
    return [sys.executable, *flags, "-m", module, *arguments]
