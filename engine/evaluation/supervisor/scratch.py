"""Enforce the limit on data that an evaluation writes to its folders."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MOST_FILES", "Scratch"]

MOST_FILES = 100_000


class Scratch:
    """Count the content of the writable folders, a slice at a time so that other work is not delayed.

    A hostile program may change the tree during the count: the count follows no link at the end of a path, and a folder
    that cannot be counted (path too long, or unreadable) counts as above the limit.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.unnamed = 0
        """Bytes of open files on disk without a name, which no walk meets."""
        self.excess = ""
        """Message about the exceeded limit; empty if there is none."""
        self.next = 0.2
        self.walk: Iterator[None] | None = None

    def look(self, folders: list[str], now: float) -> None:
        """Continue the count, or start a new one if the last is a second old."""
        if self.unnamed > self.limit:
            self.excess = f"scratch limit of {self.limit // 2**20} MiB"
        if self.walk is None and now >= self.next:
            self.walk = self.count(folders)
        if self.walk is not None:
            try:
                next(self.walk)
            except StopIteration:
                self.walk, self.next = None, now + 1.0

    def count(self, folders: list[str]) -> Iterator[None]:
        pending = list(folders)
        size, entries, names = self.unnamed, 0, 0
        linked: set[tuple[int, int]] = set()
        while pending:
            folder = pending.pop()
            names -= len(folder)
            try:
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as exc:
                if exc.errno in (errno.ENAMETOOLONG, errno.EACCES):
                    self.excess = f"scratch limit: a folder that cannot be counted ({exc.strerror})"
                    return
                continue  # it was removed, or is no longer a folder
            try:
                with os.scandir(fd) as found:
                    for entry in found:
                        try:
                            status = entry.stat(follow_symlinks=False)
                        except OSError:
                            continue  # it was removed
                        entries += 1
                        if status.st_nlink == 1 or (status.st_dev, status.st_ino) not in linked:
                            size += status.st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(f"{folder}/{entry.name}")
                            names += len(pending[-1])
                        elif status.st_nlink > 1:
                            linked.add((status.st_dev, status.st_ino))
                        if size > self.limit:
                            self.excess = f"scratch limit of {self.limit // 2**20} MiB"
                            return
                        if entries > MOST_FILES or names > 2**24:
                            self.excess = f"scratch limit of {MOST_FILES} files"
                            return
                        if entries % 2000 == 0:
                            yield
            except OSError:
                pass  # it was removed during the read
            finally:
                os.close(fd)
