"""Priors as files: one Markdown file each in a folder that people edit with whatever they like."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from cognition.prior import MOST_BYTES, Prior, PriorError, check_id, check_text, is_conflict, parse_prior

__all__ = ["PriorFolder", "Stamp", "printable", "read_prior", "scan", "stamp_of"]


_MEANT = (stat.S_IFREG, stat.S_IFLNK)


class Stamp(NamedTuple):
    """What differs when a file was written anew, even within the clock's resolution or by a rename over it."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


def scan(folder: Path) -> dict[str, Stamp]:
    """Name and stamp of every file of the folder that is meant as a prior; none where there is no folder.

    Hidden files and what editors leave beside a file are not: `.a.md.swp`, `#a.md#`, `a.md~`.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    found: dict[str, Stamp] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if not name.endswith(".md") or name.startswith((".", "#")):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # removed since the folder was listed
                if stat.S_IFMT(status.st_mode) in _MEANT:
                    found[name] = _stamp(status)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of one file; None where it is missing."""
    try:
        return _stamp(path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_prior(path: Path) -> Prior | str:
    """The prior in a file, or what is wrong with it."""
    if path.name != printable(path.name):
        return "its name is no UTF-8 text: rename it"
    try:
        check_id(path.stem)
        if path.is_symlink():
            return "is a symbolic link: put the file itself there"
        if path.stat().st_size > MOST_BYTES:
            return f"is too long: {path.stat().st_size:,} bytes, and {MOST_BYTES:,} are the most"
        raw = path.read_bytes()
        if b"\0" in raw:
            return "is no UTF-8 text but binary"
        text = raw.decode()
        check_text(text)
        return parse_prior(path.stem, text)
    except PriorError as exc:
        return str(exc)
    except UnicodeDecodeError as exc:
        return f"is no UTF-8 text: {exc.reason} at byte {exc.start}"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"


def printable(name: str) -> str:
    """A file's name with what is no UTF-8 in it replaced: it can be neither a prior's id nor be printed."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class PriorFolder:
    """Reads a folder without the cognition base; only files that changed since the last reading are parsed again.

    Args:
        path: the folder; it may be missing, now or later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[tuple[Path, str]] = []
        """Files that could not be read at the last reading, and why. Their names are printable."""
        self._known: dict[str, tuple[Stamp, Prior | str]] = {}

    def read(self) -> list[Prior]:
        """The enabled priors as they are now, by id. A broken file is left out and told in `problems`."""
        known: dict[str, tuple[Stamp, Prior | str]] = {}
        try:
            stamps = scan(self.path)
        except OSError as exc:
            self._known, self.problems = {}, [(self.path, f"cannot be read: {exc.strerror}")]
            return []
        for name, stamp in stamps.items():
            if not is_conflict(name.removesuffix(".md")):
                before = self._known.get(name)
                same = before is not None and before[0] == stamp
                known[name] = before if before is not None and same else (stamp, read_prior(self.path / name))
        self._known = known
        self.problems = [
            (self.path / printable(name), found) for name, (_, found) in sorted(known.items()) if isinstance(found, str)
        ]
        priors = [found for _, found in known.values() if isinstance(found, Prior) and found.enabled]
        return sorted(priors, key=lambda prior: prior.id)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
