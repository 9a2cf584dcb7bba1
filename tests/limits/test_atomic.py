"""Cells that more than one process writes."""

from __future__ import annotations

import mmap
import subprocess
import sys

import pytest

from proxy.limits.atomic import AtomicCells

TIMES = 20_000
ADD = """
import mmap, sys
from proxy.limits.atomic import AtomicCells
cells = AtomicCells(memoryview(mmap.mmap(int(sys.argv[1]), 4096)).cast("q"))
for _ in range(int(sys.argv[2])):
    while not cells.swap(3, before := cells.get(3), before + 1):
        pass
"""


def memory() -> memoryview:
    return memoryview(bytearray(64)).cast("q")


def test_a_cell_is_set_only_if_it_is_as_expected() -> None:
    cells = AtomicCells(memory())
    assert cells.swap(1, 0, -5)
    assert not cells.swap(1, 0, 7)
    assert [cells.get(at) for at in range(3)] == [0, -5, 0]


@pytest.mark.parametrize("at", [-1, 8, 1 << 40])
def test_there_is_nothing_beyond_the_ends(at: int) -> None:
    cells = AtomicCells(memory())
    with pytest.raises(IndexError):
        cells.get(at)
    with pytest.raises(IndexError):
        cells.swap(at, 0, 1)


def test_no_addition_of_two_processes_is_lost(tmp_path: object) -> None:
    with open(f"{tmp_path}/cells", "w+b") as file:
        file.truncate(4096)
        command = [sys.executable, "-c", ADD, str(file.fileno()), str(TIMES)]
        both = [subprocess.Popen(command, pass_fds=[file.fileno()]) for _ in range(2)]
        assert [process.wait(60) for process in both] == [0, 0]
        assert memoryview(mmap.mmap(file.fileno(), 4096)).cast("q")[3] == 2 * TIMES
