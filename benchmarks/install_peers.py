"""Install the peers of PyPI, in an environment of their own: `python -m benchmarks.install_peers`.

nginx, haproxy and wrk come from the distribution; what is missing of them is said at the end.
"""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

from .peers import PEERS, VENV

REQUIREMENTS = Path(__file__).with_name("peers-requirements.txt")


def main() -> None:
    if not (VENV / "bin" / "python").exists():
        venv.create(VENV, with_pip=True)
    subprocess.run([VENV / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
    for peer in PEERS.values():
        present, text = peer.installed()
        print(f"{peer.name:14} {text if present else 'not installed: ' + text}")


if __name__ == "__main__":
    main()
