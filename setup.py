"""Build of the extension modules; everything else about the distribution is in pyproject.toml.

Two kinds are compiled: what is written in Cython (`proxy/**/*.pyx`: the codec, cells that processes share, tables of
hashes) always, and each `proxy/**/X.py` that has an augmenting `X.pxd` beside it. With QANTARA_INTERPRETED=1 only the
first kind is: the `.py` files then run as they stand, for debugging and coverage. With QANTARA_EXTENSIONS=0 nothing is
compiled: an editable installation beside a separate `build_ext --inplace`. `proxy/_shared` holds the C code that Cython
would otherwise repeat in each module (memory views, exceptions, strings): half of all C, generated, without a source.
Invariants: modules are found by glob, never listed by hand; after `build_ext --inplace` the compiled modules in the
tree are those of the form that was asked for, and no others.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import zlib
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
INTERPRETED = os.environ.get("QANTARA_INTERPRETED", "") not in ("", "0")
EXTENSIONS = os.environ.get("QANTARA_EXTENSIONS", "1") != "0"
JOBS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SHARED = "proxy._shared"

# -O3 is what is installed and measured: -O2 makes a request 10 % dearer. -O1 takes half of the compiler's time; the
# Makefile asks for it where a build is awaited: run, build, test. Whoever sets CFLAGS has the last word on how far to
# optimise. Wheels run on other machines than the one that builds them: nothing here depends on the local CPU.
OPTIMISE = os.environ.get("QANTARA_OPTIMISE", "3")
C_FLAGS = ["-g0", "-fno-plt", "-fno-strict-aliasing"] if sys.platform == "linux" else []
C_FLAGS += [] if "CFLAGS" in os.environ else [f"-O{OPTIMISE}"]

# A folder for each level, so that what is compiled with one is not taken for the other, and neither is compiled again
# after a change of level. The C files are the same for all and lie in build/cython.
FLAGS = f"flags-{zlib.crc32(os.environ['CFLAGS'].encode()):08x}" if "CFLAGS" in os.environ else f"O{OPTIMISE}"
BUILD = f"build/{FLAGS}"

# A `.py` file must mean the same compiled as interpreted, so it keeps Python's semantics: with the unchecked
# set a plain `items[-1]` on a typed list reads outside it. A `.pyx` file is written for C and has its checks.
PYTHON_SEMANTICS = {
    "language_level": "3",
    "binding": False,
    "initializedcheck": False,
    "embedsignature": False,
    # state of a running worker: nothing here is pickled, and the methods for it are a tenth of the C code
    "auto_pickle": False,
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


def extensions() -> list[Extension]:
    """What is to be compiled; the shared module has no source until it is generated."""
    modules = [(".".join(source.with_suffix("").parts), [str(source)]) for source in sources()]
    modules.append((SHARED, []))
    return [Extension(name, files, extra_compile_args=C_FLAGS) for name, files in modules]


def translate(modules: list[Extension], directives: dict[str, object]) -> list[Extension]:
    """The same modules with C files as sources; only what changed is translated again."""
    return cythonize(
        modules,
        compiler_directives=directives,
        build_dir="build/cython",
        nthreads=JOBS if JOBS > 1 else 0,
        shared_utility_qualified_name=SHARED,
    )


class BuildExt(build_ext):
    """Translates when something is compiled, not when the distribution is only looked at (sdist, metadata)."""

    def run(self) -> None:
        asked_inplace = self.inplace
        cython = [module for module in self.extensions if not module.sources or module.sources[0].endswith(".pyx")]
        python = [module for module in self.extensions if module not in cython]
        translated = translate(cython, UNCHECKED) + translate(python, PYTHON_SEMANTICS)
        files = {module.name: module.sources for module in translated}
        for module in self.extensions:
            module.sources = files[module.name]
        # the largest first: begun last, it would keep one core busy while the others are done
        self.extensions.sort(key=lambda module: -Path(module.sources[0]).stat().st_size)
        super().run()
        if asked_inplace:
            self.remove_others()

    def remove_others(self) -> None:
        """A compiled module wins over the .py file beside it: none may stay of a form or a file that is gone."""
        wanted = {str(ROOT.joinpath(*module.name.split("."))) for module in self.extensions}
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        for path in ROOT.glob(f"proxy/**/*{suffix}"):
            if str(path).removesuffix(suffix) not in wanted:
                path.unlink()


class BuildPy(build_py):
    """Also ships config/ as proxy/config/: an installed `qantara demo` needs its YAML."""

    def run(self) -> None:
        if not self.editable_mode:
            self.remove_stale()
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "proxy", "config")
            target.mkdir(parents=True, exist_ok=True)
            for source in sorted(ROOT.glob("config/*.yaml")) + sorted(ROOT.glob("config/*.json")):
                shutil.copy2(source, target)

    def remove_stale(self) -> None:
        """The folder is kept from build to build, and all that lies in it is shipped: also what has since moved."""
        compiled = (
            set(self.get_finalized_command("build_ext").get_outputs()) if self.distribution.ext_modules else set()
        )
        for path in Path(self.build_lib).rglob("*"):
            if path.is_file() and str(path) not in compiled:
                path.unlink()


def main() -> None:
    setup(
        ext_modules=extensions() if EXTENSIONS else [],
        cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
        options={"build": {"build_base": BUILD}, "build_ext": {"parallel": JOBS}},
    )


if __name__ == "__main__":
    main()
