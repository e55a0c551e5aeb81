"""The folder that the engine shares with the machines of a SLURM cluster, and how what lies in it is signed.

```
blobs/SHA256/   source of the engine, and tasks: unpacked once, only read by machines
jobs/NAME/      one attempt: request, key (a machine removes it first), orders, log, progress
out/NAME        its result
```

A machine signs what it writes with a key of the attempt, which follows from a key of the run. So the engine takes
nothing from a program that has found the folder, and no result in place of another one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

__all__ = ["RESULT", "Seen", "SharedFolder", "attempt_key", "partial_of", "read_signed", "sign"]

RESULT = "result"
"""The label of a result; that of a line of progress is its number, from 0."""
_KEPT_SECONDS = 14 * 86400
_CHUNK = 1 << 20
_TAG = 64


def attempt_key(run_key: bytes, name: str) -> bytes:
    """Return the key of one attempt at an evaluation."""
    return hmac.digest(run_key, f"slurm/{name}".encode(), "sha256")


def sign(key: bytes, label: str, body: bytes) -> bytes:
    """Return a message with its signature before it."""
    return hmac.new(key, f"{label}\n".encode() + body, hashlib.sha256).hexdigest().encode() + b" " + body


def read_signed(key: bytes, label: str, data: bytes) -> bytes:
    """Return a message without its signature.

    Raises:
        ValueError: it is not signed with this key under this label.
    """
    tag, body = data[:_TAG], data[_TAG + 1 :]
    if not hmac.compare_digest(sign(key, label, body)[:_TAG], tag):
        raise ValueError("a message that is not signed with the key of this evaluation")
    return body


def partial_of(result: Path) -> Path:
    """Return the file that becomes a result once it is whole."""
    return result.with_name(f".{result.name}")


@dataclass(frozen=True)
class Seen:
    """What a look found of one attempt."""

    progress: bytes
    """What was added to its progress, up to 1 MiB."""
    result: bytes | None
    """Its result, cut where it is too long; None if it is not there."""


class SharedFolder:
    """The engine's side.

    Args:
        root: its path, which is the same on all machines.
        network: whether other machines' files may show up late, as on a network file system.
    """

    def __init__(self, root: Path, network: bool) -> None:
        self.root, self._network = root, network
        self._jobs, self._out = root / "jobs", root / "out"

    def make(self) -> None:
        """Make it, for this user alone.

        Raises:
            OSError: it cannot be made.
        """
        for folder in (self.root, self._jobs, self._out, self.root / "blobs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def job(self, name: str) -> Path:
        """Return the folder of an attempt."""
        return self._jobs / name

    def put(self, name: str, request: bytes, key: bytes) -> None:
        """Write what a machine needs for an attempt.

        Raises:
            OSError: it cannot be written.
        """
        folder = self._jobs / name
        folder.mkdir(mode=0o700)
        for file, content in (("request", request), ("key", key)):
            descriptor = os.open(folder / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as made:
                made.write(content)

    def order(self, name: str, line: str) -> None:
        """Give an attempt an order; one that is gone needs none."""
        with suppress(OSError), open(self._jobs / name / "orders", "ab") as file:
            file.write(line.encode() + b"\n")

    def look(self, wanted: Mapping[str, tuple[int, int]]) -> dict[str, Seen]:
        """Return what is new of attempts.

        Args:
            wanted: by name, how many bytes of its progress are known, and how many its result may have.

        Raises:
            OSError: the folder cannot be read.
        """
        if self._network:
            # A change of our own makes this machine ask for the list of files again.
            mark = self._out / f".{os.getpid()}"
            mark.touch()
            mark.unlink(missing_ok=True)
        with os.scandir(self._out) as entries:
            ended = {entry.name for entry in entries}
        found = {}
        for name, (known, most) in wanted.items():
            # In this order: once there is a result, all of the progress is there.
            progress = _read(self._jobs / name / "progress", known, _CHUNK)
            is_whole = name in ended and len(progress) < _CHUNK
            result = _read(self._out / name, 0, most + _TAG + 2) if is_whole else b""
            if progress or result:
                found[name] = Seen(progress, result or None)
        return found

    def log(self, name: str) -> str:
        """Return the last line that the job of an attempt printed."""
        lines = _read(self._jobs / name / "log", 0, _CHUNK).decode("utf-8", "replace").strip().splitlines()
        return " ".join(lines[-1].split())[:400] if lines else ""

    def remove(self, names: Iterable[str]) -> None:
        """Remove what is left of attempts."""
        for name in names:
            # In this order: a job that ends at this moment looks for its folder after it has written its result.
            shutil.rmtree(self._jobs / name, ignore_errors=True)
            for path in (self._out / name, partial_of(self._out / name)):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def sweep(self, queued: Iterable[str]) -> None:
        """Remove what nobody has asked for in two weeks.

        Args:
            queued: names of attempts that are in the queue.
        """
        before = time.time() - _KEPT_SECONDS
        known = set(queued)
        self.remove(
            {path.name for folder in (self._jobs, self._out) for path in folder.iterdir()
             if path.name not in known and _is_older(path, before)}
        )  # fmt: skip


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.lstat().st_mtime < before
    except OSError:
        return False


def _read(path: Path, start: int, most: int) -> bytes:
    """Return a part of a regular file; empty if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            file.seek(start)
            return file.read(most)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
