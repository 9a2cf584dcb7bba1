"""The way back into the configuration file: the backends of one upstream, and nothing else, are written anew.

Law of this file: every byte outside of the changed entries is preserved, comments included. The new text is loaded
before it replaces the old one, and must differ in exactly the requested backends; else nothing is written.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, SequenceNode

from ..errors import ConfigError, WriteBackError
from ..upstream.backend import BackendSpec
from .load import Loaded, digest_of, load, load_text, parse_document
from .render import quoted_if_needed
from .schema import Config
from .sections.backends import spec_of

_BOM = b"\xef\xbb\xbf"


class Edit(NamedTuple):
    """The text from `start` to `end` is replaced."""

    start: int
    end: int
    text: str


def write_back(path: str | os.PathLike[str], digest: str, upstream: str, backends: Sequence[BackendSpec]) -> Loaded:
    """Makes `backends` those that the file lists for an upstream. Returns the file as it is now, loaded.

    `digest` is that of the file as it was loaded (Loaded.digest). Mode, owner and extended attributes are kept, and a
    symbolic link stays one. Reads and writes files: call it in a thread.

    Raises WriteBackError, and leaves the file as it is, if it is not the one that was loaded, cannot be edited in
    place, or cannot be written.
    """
    target = os.path.realpath(path)
    try:
        with open(target, "rb") as file:
            content = file.read()
    except OSError as error:
        raise WriteBackError(f"{path}: cannot be read: {error.strerror}") from None
    _check_digest(path, content, digest)
    text = content.decode("utf-8-sig")
    edited = edit(text, os.fspath(path), upstream, backends)
    written = (_BOM if content.startswith(_BOM) else b"") + edited.encode()
    if written != content:
        try:
            _replace(path, target, digest, written)
        except OSError as error:
            raise WriteBackError(f"{path}: cannot be written: {error.strerror}") from None
    return load(path)


def edit(text: str, name: str, upstream: str, backends: Sequence[BackendSpec]) -> str:
    """The text with these backends. Raises WriteBackError if that cannot be done in place."""
    try:
        before = load_text(text, name).config
        node = _upstream_node(text, name, upstream)
        listed = [spec_of(section) for section in before.upstreams[upstream].backends]
        edits = _edits(text, node, listed, backends)
        edited = text
        for each in sorted(edits, reverse=True):
            edited = edited[: each.start] + each.text + edited[each.end :]
        after = load_text(edited, name).config
    except ConfigError as error:
        raise WriteBackError(f"{name} would not be good any more: {error.problems[0].message}") from None
    if not _as_wanted(before, after, upstream, backends):
        raise WriteBackError(
            f"{name}: the backends of {upstream} cannot be edited in place (are they an alias, or its anchor?); "
            "change the file by hand"
        )
    return edited


def _as_wanted(before: Config, after: Config, upstream: str, backends: Sequence[BackendSpec]) -> bool:
    """Whether nothing but these backends has changed."""
    written = {spec_of(section) for section in after.upstreams[upstream].backends}
    same = after.upstreams[upstream].model_copy(update={"backends": before.upstreams[upstream].backends})
    rest = after.model_copy(update={"upstreams": {**after.upstreams, upstream: same}})
    return written == set(backends) and rest == before


def _check_digest(path: str | os.PathLike[str], content: bytes, digest: str) -> None:
    if digest_of(content) != digest:
        raise WriteBackError(f"{os.fspath(path)} has changed since it was loaded; reload it, then try again")


def _replace(path: str | os.PathLike[str], target: str, digest: str, content: bytes) -> None:
    """Atomically: a reader of the file sees the old one or the new one."""
    folder = os.path.dirname(target)
    was = os.stat(target)
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(target)}.", dir=folder)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            shutil.copystat(target, temporary)
            os.utime(temporary)
            made = os.stat(temporary)
            if (made.st_uid, made.st_gid) != (was.st_uid, was.st_gid):
                os.chown(temporary, was.st_uid, was.st_gid)
                os.chmod(temporary, stat.S_IMODE(was.st_mode))
            os.fsync(file.fileno())
        with open(target, "rb") as file:
            _check_digest(path, file.read(), digest)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# --- what to change in the text ---------------------------------------------------------------------------


def _upstream_node(text: str, name: str, upstream: str) -> MappingNode:
    root = parse_document(text, name).root
    node = _value(_value(root, "upstreams"), upstream)
    if not isinstance(node, MappingNode):
        raise WriteBackError(f"{name}: there is no upstream {upstream}")
    return node


def _value(node: Node | None, key: str) -> Node | None:
    pair = _pair(node, key)
    return pair[1] if pair is not None else None


def _pair(node: Node | None, key: str) -> tuple[Node, Node] | None:
    if not isinstance(node, MappingNode):
        return None
    return next(((name, value) for name, value in node.value if name.value == key), None)


def _edits(
    text: str, upstream: MappingNode, listed: Sequence[BackendSpec], wanted: Sequence[BackendSpec]
) -> list[Edit]:
    pair = _pair(upstream, "backends")
    if pair is None:
        return _new_key(text, upstream, wanted)
    key, entries = pair
    if not isinstance(entries, SequenceNode):
        raise WriteBackError("backends is no list")
    missing = {spec.address: spec for spec in wanted}
    gone, edits = [], []
    for index, (entry, spec) in enumerate(zip(entries.value, listed, strict=True)):
        want = missing.pop(spec.address, None)
        if want is None:
            gone.append(index)
        elif want != spec:
            edits.append(Edit(entry.start_mark.index, _end(entry), written(want)))
    if len(gone) == len(entries.value):
        return [_whole(text, key, entries, list(missing.values()))]
    if entries.flow_style:
        return edits + _flow(entries, gone, list(missing.values()))
    return edits + _block(text, entries, gone, list(missing.values()))


def written(spec: BackendSpec) -> str:
    """An entry of a list of backends."""
    address = quoted_if_needed(spec.address)
    more = []
    if spec.weight != 1:
        more.append(f"weight: {spec.weight}")
    if spec.region is not None:
        more.append(f"region: {quoted_if_needed(spec.region)}")
    if spec.zone is not None:
        more.append(f"zone: {quoted_if_needed(spec.zone)}")
    if spec.priority:
        more.append(f"priority: {spec.priority}")
    if spec.labels:
        labels = (f"{quoted_if_needed(name)}: {quoted_if_needed(value)}" for name, value in spec.labels)
        more.append(f"labels: {{{', '.join(labels)}}}")
    return f"{{{', '.join([f'address: {address}', *more])}}}" if more else address


def _listed(backends: Sequence[BackendSpec]) -> str:
    return "[" + ", ".join(map(written, backends)) + "]"


def _new_key(text: str, upstream: MappingNode, wanted: Sequence[BackendSpec]) -> list[Edit]:
    """There is no key `backends` yet."""
    if not wanted:
        return []
    if upstream.flow_style:
        at = text.index("{", upstream.start_mark.index) + 1
        return [Edit(at, at, f"backends: {_listed(wanted)}{', ' if upstream.value else ''}")]
    at = upstream.value[0][0].start_mark.index
    indent = " " * upstream.value[0][0].start_mark.column
    return [Edit(at, at, f"backends: {_listed(wanted)}{_newline(text)}{indent}")]


def _whole(text: str, key: Node, entries: SequenceNode, wanted: Sequence[BackendSpec]) -> Edit:
    """No entry stays: the whole list goes, and a new one takes its place, in braces."""
    if entries.flow_style or not entries.value:
        return Edit(entries.start_mark.index, entries.end_mark.index, _listed(wanted))
    colon = text.index(":", key.end_mark.index) + 1
    last = _end(entries.value[-1])
    return Edit(colon, last, f" {_listed(wanted)}")


def _flow(entries: SequenceNode, gone: Sequence[int], new: Sequence[BackendSpec]) -> list[Edit]:
    nodes = entries.value
    edits = []
    for index in gone:
        kept_before = any(before not in gone for before in range(index))
        if kept_before:  # with the comma before it
            edits.append(Edit(nodes[index - 1].end_mark.index, nodes[index].end_mark.index, ""))
        else:
            edits.append(Edit(nodes[index].start_mark.index, nodes[index + 1].start_mark.index, ""))
    if new:
        at = nodes[-1].end_mark.index
        edits.append(Edit(at, at, "".join(f", {written(spec)}" for spec in new)))
    return edits


def _block(text: str, entries: SequenceNode, gone: Sequence[int], new: Sequence[BackendSpec]) -> list[Edit]:
    edits = []
    for index in gone:
        node = entries.value[index]
        line = text.rfind("\n", 0, _dash(text, node)) + 1
        edits.append(Edit(line, _line_end(text, _end(node)), ""))
    if new:
        at = _line_end(text, _end(entries.value[-1]))
        first = _dash(text, entries.value[0])
        indent = text[text.rfind("\n", 0, first) + 1 : first]
        newline = _newline(text)
        lines = "".join(f"{indent}- {written(spec)}{newline}" for spec in new)
        edits.append(Edit(at, at, lines if text[:at].endswith("\n") else newline + lines.removesuffix(newline)))
    return edits


def _dash(text: str, entry: Node) -> int:
    """Where an entry of a block begins."""
    return text.rindex("-", 0, entry.start_mark.index)


def _end(node: Node) -> int:
    """Where the last value in a node ends: a block's own end is where the next thing begins."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, MappingNode) else last)
    return int(node.end_mark.index)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
