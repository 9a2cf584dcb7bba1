"""A change of content is seen, however it is written; nothing else is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from proxy.control.watch import Watcher, changes, fingerprint, folders
from tests.support import PATIENCE


async def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a"
    assert await fingerprint(str(file)) is None
    file.write_text("x")
    before = await fingerprint(str(file))
    os.utime(file)
    assert await fingerprint(str(file)) == before
    file.write_text("y")
    assert await fingerprint(str(file)) != before


def test_the_folder_of_what_it_links_to_is_watched_too(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "real").write_text("x")
    (tmp_path / "link").symlink_to(there / "real")
    assert folders(str(tmp_path / "link")) == {tmp_path, there}


async def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    """As container orchestrators mount configuration."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "q.yaml").write_text(name)
    (tmp_path / "data").symlink_to(tmp_path / "one")
    (tmp_path / "q.yaml").symlink_to(tmp_path / "data" / "q.yaml")
    seen = changes(str(tmp_path / "q.yaml"), await fingerprint(str(tmp_path / "q.yaml")))
    waiting = asyncio.ensure_future(anext(seen))
    await asyncio.sleep(0)
    (tmp_path / "next").symlink_to(tmp_path / "two")
    os.replace(tmp_path / "next", tmp_path / "data")
    await asyncio.wait_for(waiting, PATIENCE)
    await seen.aclose()


async def test_a_change_between_loading_and_watching_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    file.write_text("as it was loaded")
    loaded = await fingerprint(str(file))
    file.write_text("changed since")
    seen = changes(str(file), loaded)
    await asyncio.wait_for(anext(seen), PATIENCE)
    await seen.aclose()


async def test_a_file_is_watched_while_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    file.write_text("one")
    changed = asyncio.Event()
    watcher = Watcher(str(file), changed.set)
    watcher.adopt(False, "")
    assert watcher.task is None
    watcher.adopt(True, await fingerprint(str(file)) or "")
    task = watcher.task
    watcher.adopt(True, "another")
    assert watcher.task is task is not None, "what goes on goes on"
    file.write_text("two")
    await asyncio.wait_for(changed.wait(), PATIENCE)
    watcher.adopt(False, "")
    await asyncio.wait([task], timeout=PATIENCE)
    assert (task.cancelled(), watcher.task) == (True, None)
    watcher.adopt(True, await fingerprint(str(file)) or "")
    await watcher.close()
