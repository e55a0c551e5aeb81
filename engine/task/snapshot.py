"""Take a run's copy of its task, unpack it, and compare it with the folder on the disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from engine.errors import RunError, TaskError
from engine.journal.database import sha256_of
from engine.text import is_text, legible

__all__ = ["TaskCopy", "TaskWatch", "content_digest", "large_paths", "links_out", "read_copy", "task_files"]
__all__ += ["unpack_copy"]

_KEPT_BYTES = 20 << 20
"""Most bytes of a task's files, in all, to keep as blobs."""


class TaskCopy(NamedTuple):
    """The files of a task folder."""

    files: dict[str, str]
    """Path inside the folder to blob."""
    large_files: dict[str, str]
    """Files too large to keep: path inside the folder to `sha256 size path`."""
    blobs: list[bytes]
    """The contents of `files`."""


def task_files(folder: Path) -> Iterator[Path]:
    """Yield the files that belong to a task, sorted: no caches, no hidden files, no priors.

    Priors are left out because they are read live; each revision that a design is shown is kept by itself.
    """
    return (path for path in _contents(folder) if path.is_file())


def _contents(folder: Path) -> Iterator[Path]:
    """Yield the files and folders that belong to a task, sorted."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] != "priors" and not _is_hidden(relative):
            yield path


def read_copy(folder: Path) -> TaskCopy:
    """Read a task folder; files beyond 20 MiB in all, the largest, are kept by hash and path only.

    So code is among what is kept, whatever data lie beside it: what was agreed to is what runs.

    Raises:
        TaskError: a file's name is not text.
        OSError: a file cannot be read.
    """
    copy = TaskCopy({}, {}, [])
    sizes = {path: path.stat().st_size for path in task_files(folder)}
    large: set[Path] = set()
    kept = 0
    for path in sorted(sizes, key=lambda path: (sizes[path], path)):
        kept += sizes[path]
        if kept > _KEPT_BYTES:
            large.add(path)
    for path, size in sizes.items():
        relative = path.relative_to(folder).as_posix()
        if not is_text(relative):
            raise TaskError(f"{folder} holds '{legible(relative)}', whose name is not valid UTF-8: rename it")
        if path in large:
            with path.open("rb") as file:
                copy.large_files[relative] = f"{hashlib.file_digest(file, 'sha256').hexdigest()} {size} {path}"
            continue
        content = path.read_bytes()
        copy.files[relative] = sha256_of(content)
        copy.blobs.append(content)
    return copy


def content_digest(files: Mapping[str, str], large_files: Mapping[str, str]) -> str:
    """Return a hash of a task's files: the same for a folder and for a run's copy of it, wherever they lie.

    Args:
        files: path to the SHA-256 of the content.
        large_files: path to `sha256 size path`.
    """
    named = {**files, **{name: note.split(" ", 1)[0] for name, note in large_files.items()}}
    return sha256_of(repr(sorted(named.items())).encode("utf-8", "surrogateescape"))


def links_out(folder: Path) -> list[Path]:
    """Return what links in a task folder lead to outside of it, priors included, sorted.

    A run takes along what they lead to, as if it lay in the folder.
    """
    own = Path(os.path.realpath(folder))
    links = (path for path in folder.rglob("*") if path.is_symlink() and not _is_hidden(path.relative_to(folder)))
    targets = {Path(os.path.realpath(path)) for path in links}
    return sorted(target for target in targets if not target.is_relative_to(own))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def large_paths(large_files: Mapping[str, str]) -> dict[str, Path]:
    """Return where the files too large to keep are: path inside the task to path on the disk."""
    return {name: Path(note.split(" ", 2)[2]) for name, note in large_files.items()}


def unpack_copy(
    target: Path, files: Mapping[str, str], large_files: Mapping[str, str], blob: Callable[[str], bytes]
) -> None:
    """Unpack the recorded copy into a folder, which is emptied first; large files become links.

    Args:
        target: the folder.
        files: path to blob.
        large_files: path to `sha256 size path`.
        blob: returns a blob's content.

    Raises:
        RunError: a large file is gone or has another size, or a name leads outside the folder.
        OSError: the folder cannot be written.
    """
    for name in [*files, *large_files]:
        # A journal may come from anywhere: its files must stay inside the folder.
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise RunError(f"the recorded task holds a file named {name!r}, outside its folder")
    _check_large(large_files)
    shutil.rmtree(target, ignore_errors=True)
    for name, sha256 in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob(sha256))
    for name, source in large_paths(large_files).items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(source)


def _check_large(large_files: Mapping[str, str]) -> None:
    lost = []
    for name, source in large_paths(large_files).items():
        size = int(large_files[name].split(" ", 2)[1])
        if not source.is_file():
            lost.append(f"{name} ({size / 1e6:.0f} MB) is not at {source}")
        elif source.stat().st_size != size:
            lost.append(f"{name} at {source} has {source.stat().st_size} bytes in the place of {size}")
    if lost:
        raise RunError(
            f"files of the task that were too large for the journal are gone: {'; '.join(lost)}",
            "Put them back, or name a folder that has them: evolve resume RUN --task DIR",
        )


class TaskWatch:
    """Compare the task's folder on the disk with the recorded copy, and report each new difference once.

    Contents are read only if a time, a size or a folder's list of names changed; large files are compared by size.

    Args:
        folder: where the task was read from; a missing folder is no change, because the run has its copy.
        files: path to blob, as recorded.
        large_files: path to `sha256 size path`, as recorded.
        reported: the differences that were reported last.
    """

    def __init__(
        self, folder: Path, files: Mapping[str, str], large_files: Mapping[str, str], reported: dict[str, str]
    ) -> None:
        self._folder = folder
        self._files = files
        self._large = large_files
        self._reported = reported
        self._seen: dict[str, str] | None = None
        self._folders = {folder}
        self._links: set[Path] = set()
        self._stamp: list[object] = []

    @property
    def paths(self) -> set[Path]:
        """Return what changes if the task does: its folders, and files that are links to elsewhere."""
        return self._folders | self._links

    def look(self) -> dict[str, str] | None:
        """Return all differences, path to `edited`, `added` or `removed`, or None if they were reported before.

        May be called in a thread, one call at a time.
        """
        try:
            if not (self._folder / "task.toml").is_file():
                return None
            if self._seen is None:
                self._list()
            stamp = self._take_stamp()
            if stamp == self._stamp:
                return None
            found, seen = self._compare()
        except OSError:
            return None  # changed while it was read, so that it is read again
        # The state before the files were read, so that the next look sees a file saved meanwhile as different.
        self._stamp = stamp
        news = found != self._reported if self._seen is None else seen != self._seen
        self._reported, self._seen = found, seen
        return found if news else None

    def _take_stamp(self) -> list[object]:
        stamp: list[object] = []
        for name in (*self._files, *self._large):
            try:
                status = (self._folder / name).stat()
                stamp.append((status.st_mtime_ns, status.st_size, status.st_ino))
            except OSError:
                stamp.append(None)
        stamp.extend((path, path.stat().st_mtime_ns if path.is_dir() else None) for path in sorted(self._folders))
        return stamp

    def _list(self) -> dict[str, Path]:
        """Record folders and links; return the files by their names in the journal."""
        contents = list(_contents(self._folder))
        self._folders = {self._folder, *(path for path in contents if path.is_dir() and not path.is_symlink())}
        files = [path for path in contents if path.is_file()]
        self._links = {path for path in files if path.is_symlink()}
        return {_escaped(path.relative_to(self._folder)): path for path in files}

    def _compare(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the differences, and the current hashes of the files that differ."""
        found: dict[str, str] = {}
        seen: dict[str, str] = {}
        present = self._list()
        for name, sha256 in self._files.items():
            if name not in present:
                found[name] = "removed"
            elif (now := sha256_of(present[name].read_bytes())) != sha256:
                found[name], seen[name] = "edited", now
        for name, note in self._large.items():
            size = int(note.split(" ", 2)[1])
            if name not in present:
                found[name] = "removed"
            elif (now_size := present[name].stat().st_size) != size:
                found[name], seen[name] = "edited", str(now_size)
        found |= {name: "added" for name in present if name not in self._files and name not in self._large}
        return found, {name: seen.get(name, what) for name, what in found.items()}


def _escaped(path: Path) -> str:
    """Return a path as a journal can hold it, whatever bytes are in it."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
