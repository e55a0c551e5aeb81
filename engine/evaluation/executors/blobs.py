"""Pack what a machine needs for evaluations into blobs that are named by their content."""

from __future__ import annotations

import compileall
import functools
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import engine
from engine.errors import EvolveError
from engine.task.snapshot import task_files

__all__ = ["linked_paths", "pack_source", "pack_task", "unpack"]

_MOST_BYTES = 1 << 30
_LAYERS = (
    "evaluation",
    "task",
    "settings",
    "programs",
    "journal",
    "errors.py",
    "text.py",
    "workspace.py",
    "__init__.py",
)
"""What evaluations are made of: the layer `evaluation`, and those below it."""

Blob = tuple[str, bytes]
"""sha256 and content: an uncompressed tar archive."""


@functools.cache
def pack_source() -> Blob:
    """Return the engine's own source, as far as an evaluation needs it, so that every machine runs the same."""
    above = Path(engine.__file__).parents[1]
    files = [above / "cognition" / "__init__.py", above / "cognition" / "mounts.py"]
    for layer in _LAYERS:
        path = above / "engine" / layer
        files += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return _pack(above, files)


def pack_task(folder: Path) -> Blob:
    """Return the files of a task folder; links are followed, so that large files come along.

    Raises:
        EvolveError: they cannot be read, or are more than 1 GiB.
    """
    try:
        return _pack(folder, task_files(folder))
    except OSError as exc:
        raise EvolveError(f"{exc.filename or folder} cannot be read: {exc.strerror}") from None


def linked_paths(folder: Path) -> set[str]:
    """Return the paths of files that `pack_task` takes from outside of the folder."""
    return {os.path.realpath(path) for path in task_files(folder) if path.is_symlink()}


def _pack(folder: Path, files: Iterable[Path]) -> Blob:
    buffer = io.BytesIO()
    size = 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in files:
            size += path.stat().st_size
            if size > _MOST_BYTES:
                raise EvolveError(
                    f"{folder} holds more than 1 GiB, too much to send to each machine",
                    "Put data into a folder that all machines have, and name it under `mounts` in task.toml",
                )
            content = path.read_bytes()
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            info.size, info.mode = len(content), 0o755 if os.access(path, os.X_OK) else 0o644
            archive.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()
    return hashlib.sha256(data).hexdigest(), data


def unpack(blob: Blob, folder: Path) -> Path:
    """Unpack a blob, unless it is there, so that others see it whole or not at all; return its own folder.

    Args:
        blob: what to unpack.
        folder: holds the folders of blobs.

    Raises:
        OSError: it cannot be written.
    """
    sha, content = blob
    made = folder / sha
    if made.is_dir():
        os.utime(made)
        return made
    partial = Path(tempfile.mkdtemp(dir=folder))
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(partial, filter="data")
        # What nothing compiles, every sandbox would: it cannot write what it compiles.
        compileall.compile_dir(partial, quiet=2, stripdir=partial, prependdir=made)
        try:
            partial.rename(made)
        except OSError:
            if not made.is_dir():
                raise
            shutil.rmtree(partial)  # another engine was faster
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return made
