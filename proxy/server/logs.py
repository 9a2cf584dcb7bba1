"""How the processes log: one line each, on standard error, with the name of the process.

Law of this file: it decides the format, and nothing about what is logged.
"""

from __future__ import annotations

import logging
import sys


def configure_logging(name: str, level: int = logging.INFO) -> None:
    """Log to standard error as the process `name`."""
    logging.basicConfig(
        stream=sys.stderr, level=level, format=f"%(asctime)s %(levelname)s {name}: %(message)s", force=True
    )


def rename(name: str) -> None:
    """The process has another name from now on."""
    formatter = logging.Formatter(f"%(asctime)s %(levelname)s {name}: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter)
