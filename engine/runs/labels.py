"""Tags of a run, and whether it is archived: a small file in its folder that nothing in the run depends on.

They belong to the folder, as its name does: a fork starts without them, and a run whose journal is damaged has some.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from engine.errors import RunError, UsageError
from engine.text import one_line

__all__ = ["Labels", "archive_run", "check_tag", "parse_tags", "read_labels", "set_tags", "tag_run"]

_FILE = "labels.json"
_MOST_BYTES = 64 << 10
_MOST_TAGS = 20
_LONGEST = 40


class Labels(msgspec.Struct, frozen=True):
    """What a person keeps with a run."""

    tags: tuple[str, ...] = ()
    """In the order they were given."""
    archived: bool = False
    """Whether lists leave the run out."""


def read_labels(folder: Path) -> Labels:
    """Return the labels of a run by its folder; none if the file is missing or unreadable."""
    path = folder / _FILE
    try:
        # A pipe in a folder from elsewhere would never answer.
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return Labels()
        found = msgspec.json.decode(path.read_bytes(), type=Labels)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Labels()
    return Labels(tuple(tag for tag in found.tags if _is_tag(tag))[:_MOST_TAGS], found.archived)


def tag_run(folder: Path, tags: Iterable[str], off: bool = False) -> Labels:
    """Add tags to a run, or take them away with `off`; return its labels.

    Raises:
        UsageError: a tag is no word, or there would be more than 20.
        RunError: the folder cannot be written.
    """
    given = tuple(tags)
    return _change_tags(folder, lambda had: [tag for tag in had if tag not in given] if off else [*had, *given])


def set_tags(folder: Path, tags: Iterable[str]) -> Labels:
    """Replace the tags of a run; return its labels.

    Raises:
        UsageError: a tag is no word, or there are more than 20.
        RunError: the folder cannot be written.
    """
    given = tuple(tags)
    return _change_tags(folder, lambda had: given)


def _change_tags(folder: Path, change: Callable[[Iterable[str]], Iterable[str]]) -> Labels:
    with _alone(folder):
        before = read_labels(folder)
        given = tuple(dict.fromkeys(change(before.tags)))
        for tag in given:
            check_tag(tag)
        if len(given) > _MOST_TAGS:
            raise UsageError(f"run '{folder.name}' would have {len(given)} tags; at most {_MOST_TAGS} are kept")
        return _write(folder, before, Labels(given, before.archived))


def archive_run(folder: Path, archived: bool = True) -> Labels:
    """Leave a run out of lists, or list it again; return its labels.

    Raises:
        RunError: the folder cannot be written.
    """
    with _alone(folder):
        before = read_labels(folder)
        return _write(folder, before, Labels(before.tags, archived))


def parse_tags(text: str) -> list[str]:
    """Return the tags in a line, separated by spaces or commas.

    Raises:
        UsageError: one of them is no word.
    """
    tags = list(dict.fromkeys(text.replace(",", " ").split()))
    for tag in tags:
        check_tag(tag)
    return tags


def check_tag(tag: str) -> None:
    """Raise UsageError if a text cannot be a tag: a printable word of at most 40 letters that begins with no '-'."""
    if not _is_tag(tag):
        raise UsageError(
            f"'{one_line(tag, _LONGEST)}' cannot be a tag", "A tag is one word without commas; it begins with no '-'"
        )


def _is_tag(tag: str) -> bool:
    return 0 < len(tag) <= _LONGEST and tag.isprintable() and not tag.startswith("-") and not set(tag) & set(" ,")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Change labels while nobody else does: two changes at once would lose one."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise RunError(f"{folder / _FILE} cannot be written: {exc.strerror}") from None
    try:
        # Some network file systems lock no folders; a rare loss is better than no labels there.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(folder: Path, before: Labels, after: Labels) -> Labels:
    if before == after:
        return after
    partial = ""
    try:
        # A name of its own: a link in a folder from elsewhere could lead to a file outside.
        descriptor, partial = tempfile.mkstemp(prefix=f".{_FILE}-", dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            # Whoever may read the run may read its labels.
            os.fchmod(descriptor, folder.stat().st_mode & 0o666)
            file.write(msgspec.json.encode(after))
        Path(partial).replace(folder / _FILE)
    except OSError as exc:
        with suppress(OSError):
            if partial:
                Path(partial).unlink(missing_ok=True)
        raise RunError(f"{folder / _FILE} cannot be written: {exc.strerror}") from None
    return after
