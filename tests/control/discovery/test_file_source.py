"""Backends from a watched file: how it is replaced, and what is said of a bad one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.configuration.sections.discover import DiscoverSection
from proxy.control.discovery.base import Answer
from proxy.control.discovery.file_source import FileSource, read_backends
from proxy.control.discovery.watched import WatchedSource
from proxy.errors import DiscoveryError
from proxy.upstream.backend import BackendSpec
from tests.support import PATIENCE
from tests.support.clock import WoundClock
from tests.support.path import until_true


def failure(path: Path) -> str:
    with pytest.raises(DiscoveryError) as caught:
        read_backends(str(path))
    return str(caught.value).replace(str(path), "FILE")


# --- what is in it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "- a:80\n- {address: b:80, weight: 3, region: eu}\n",
        '["a:80", {"address": "b:80", "weight": 3, "region": "eu"}]',
        "# backends\n- address: A:80\n- address: b:80\n  weight: 3\n  region: eu\n",
    ],
)
def test_yaml_and_json(tmp_path: Path, text: str) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(text)
    assert read_backends(str(file)) == (
        BackendSpec("a:80", "a", 80, "", 1, None),
        BackendSpec("b:80", "b", 80, "", 3, "eu"),
    )


def test_an_empty_list_is_a_list(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("[]")
    assert read_backends(str(file)) == ()


def test_a_pipe_that_nobody_writes_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert failure(tmp_path / "pipe").startswith("FILE: is not a regular file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "FILE: the file is empty; it needs a list of backends; write [] if there are none"),
        ("a: 1", "FILE:1:1: must be a list of backends, such as [127.0.0.1:9001]"),
        ("- a:80\n- b", "FILE:2:3: [1]: the port is missing; write host:port, such as 127.0.0.1:9001, or unix:/path"),
        ("- {adress: 'a:80'}", "FILE:1:3: [0].address: is missing; write address: 127.0.0.1:9001; "
         "FILE:1:4: [0].adress: is no known key (did you mean address?)"),
        ("- {address: 'a:80', weight: 300}", "FILE:1:29: [0].weight: must be at most 256, not the number 300"),
        ("- a:80\n- b:80\n- A:80", "FILE:3:3: [2]: a:80 is given twice; the first is [0]"),
        ("- {address: 'a:80', address: 'b:80'}", "FILE:1:21: [0].address: is given twice; the first is in line 1"),
        ("- a:80\n- [", "FILE:2:4: not valid YAML: "),
        ("- 1\n- 2\n- 3\n- 4\n- 5", "and 2 more"),
    ],
)  # fmt: skip
def test_a_bad_file_says_what_and_where(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(text)
    assert words in failure(file)


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    assert failure(tmp_path / "none") == "FILE: there is no such file"
    assert failure(tmp_path) == "FILE: is a directory; give the path of a YAML file"


# --- when it changes ---------------------------------------------------------------------------------------


class Watching:
    """A file that is watched with a wound clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = WoundClock()
        discover = DiscoverSection.model_validate({"file": str(path), "interval": "1s"})
        self.source = FileSource(discover, self.clock)
        self.watched = WatchedSource("app", discover, self.source, self.clock, lambda name: None)

    @property
    def now(self) -> list[str]:
        return [spec.address for spec in self.watched.backends]

    async def look(self, times: int = 1) -> None:
        """The file is looked at so many times."""
        for _ in range(times):
            await self.clock.asleep()
            await self.clock.wind(1)
        await self.clock.asleep()


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Watching]:
    made = Watching(path)
    made.watched.start()
    try:
        await asyncio.wait_for(made.watched.first.wait(), PATIENCE)
        yield made
    finally:
        await made.watched.close()


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


async def test_a_file_that_is_replaced_is_read_at_the_next_look(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("[a:80]")
    async with watching(file) as at:
        assert at.now == ["a:80"]
        replace(file, "[b:80]")
        await at.look()
        assert at.now == ["b:80"]


async def test_a_file_that_is_written_in_place_is_read_when_it_rests(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("[a:80]")
    async with watching(file) as at:
        with file.open("w") as half:
            half.write("- b:80\n")
            half.flush()
            await at.look()
            assert at.now == ["a:80"]
            half.write("- c:80\n")
            half.flush()
            await at.look()
            assert at.now == ["a:80"]
        await at.look()
        assert at.now == ["b:80", "c:80"]


async def test_a_link_on_the_way_that_is_swapped_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.yaml").write_text(f"[{name}:80]")
    (tmp_path / "now").symlink_to("one")
    link = tmp_path / "b.yaml"
    link.symlink_to("now/b.yaml")
    async with watching(link) as at:
        assert at.now == ["one:80"]
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", tmp_path / "now")
        await at.look()
        assert at.now == ["two:80"]


async def test_a_bad_file_keeps_the_old_list_and_a_good_one_heals(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("[a:80]")
    async with watching(file) as at:
        replace(file, "[b]")
        await at.look(3)
        assert at.now == ["a:80"]
        assert at.watched.error.startswith(f"{file}:1:2: [0]: the port is missing")
        file.unlink()
        await at.look(2)
        assert at.now == ["a:80"]
        assert at.watched.error == f"{file}: cannot be read: No such file or directory"
        at.clock.time += 1e6  # for as long as it takes
        await at.look(2)
        assert at.now == ["a:80"]
        file.write_text("[c:80]")
        await at.look(2)
        assert (at.now, at.watched.error) == (["c:80"], "")


async def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    async with watching(file) as at:
        assert (at.now, bool(at.watched.error)) == ([], True)
        file.write_text("[a:80]")
        await at.look(2)
        assert (at.now, at.watched.error) == (["a:80"], "")


async def test_a_file_that_stays_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "b.yaml"
    file.write_text("[a:80]")
    reads: list[Path] = []

    class Counting(FileSource):
        async def _read(self) -> Answer:
            reads.append(file)
            return await super()._read()

    clock = WoundClock()
    answers: AsyncGenerator[Answer | Sequence[BackendSpec], None] = Counting(
        DiscoverSection.model_validate({"file": str(file)}), clock
    ).watch()
    await anext(answers)
    later = asyncio.ensure_future(anext(answers))
    for _ in range(5):
        await clock.asleep()
        await clock.wind(1)
    assert len(reads) == 1
    replace(file, "[b:80]")
    await clock.asleep()
    await clock.wind(1)
    await later
    assert len(reads) == 2
    await answers.aclose()
    await until_true(lambda: not clock.sleepers)
