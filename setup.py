"""Build of the extension modules; everything else about the distribution is in pyproject.toml.

Two kinds are compiled: what is written in Cython (`proxy/**/*.pyx`: the codec, cells that processes share, tables of
hashes) always, and each `proxy/**/X.py` that has an augmenting `X.pxd` beside it. With QANTARA_INTERPRETED=1 only the
first kind is: the `.py` files then run as they stand, for debugging and coverage. Invariant: modules are found by
glob, never listed by hand.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
INTERPRETED = os.environ.get("QANTARA_INTERPRETED", "") not in ("", "0")
JOBS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# Wheels run on other machines than the one that builds them: nothing here depends on the local CPU. Who sets CFLAGS has
# the last word on how far to optimise.
C_FLAGS = ["-g0", "-fno-plt", "-fno-strict-aliasing"] if sys.platform == "linux" else []
C_FLAGS += [] if "CFLAGS" in os.environ else ["-O3"]

# A `.py` file must mean the same compiled as interpreted, so it keeps Python's semantics: with the unchecked
# set a plain `items[-1]` on a typed list reads outside it. A `.pyx` file is written for C and has its checks.
PYTHON_SEMANTICS = {
    "language_level": "3",
    "binding": False,
    "initializedcheck": False,
    "embedsignature": False,
    # types come from the .pxd files alone; annotations are for people and mypy
    "annotation_typing": False,
}
UNCHECKED = PYTHON_SEMANTICS | {"boundscheck": False, "wraparound": False, "cdivision": True}


def sources() -> list[Path]:
    """The files to compile, relative to the checkout (an sdist may not hold absolute paths)."""
    found = sorted(ROOT.glob("proxy/**/*.pyx"))
    if not INTERPRETED:
        found += sorted(pxd.with_suffix(".py") for pxd in ROOT.glob("proxy/**/*.pxd"))
    return [path.relative_to(ROOT) for path in found if path.exists()]


def compiled(suffix: str, directives: dict[str, object]) -> list[Extension]:
    """Extensions for the sources with this suffix; only those that changed are translated again."""
    extensions = [
        Extension(name=".".join(source.with_suffix("").parts), sources=[str(source)], extra_compile_args=C_FLAGS)
        for source in sources()
        if source.suffix == suffix
    ]
    return cythonize(
        extensions,
        compiler_directives=directives,
        build_dir="build/cython",
        nthreads=JOBS if JOBS > 1 else 0,
    )


class BuildPy(build_py):
    """Also ships config/ as proxy/config/: an installed `qantara demo` needs its YAML."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "proxy", "config")
            target.mkdir(parents=True, exist_ok=True)
            for source in sorted(ROOT.glob("config/*.yaml")) + sorted(ROOT.glob("config/*.json")):
                shutil.copy2(source, target)


def main() -> None:
    extensions = compiled(".pyx", UNCHECKED) + compiled(".py", PYTHON_SEMANTICS)
    setup(ext_modules=extensions, cmdclass={"build_py": BuildPy}, options={"build_ext": {"parallel": JOBS}})


if __name__ == "__main__":
    main()
