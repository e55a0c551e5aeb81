"""Read priors from a folder of Markdown files, one file each, which people edit with any editor."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from cognition.prior import MOST_BYTES, Prior, PriorError, check_id, check_text, is_conflict, parse_prior

__all__ = ["PriorFolder", "Stamp", "printable", "read_prior", "scan", "stamp_of"]

_KINDS = (stat.S_IFREG, stat.S_IFLNK)


class Stamp(NamedTuple):
    """Differs after a file was rewritten, even within the clock's resolution or by a rename over it."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


def scan(folder: Path) -> dict[str, Stamp]:
    """Return name and stamp of every Markdown file in the folder; none if the folder is missing.

    Leave out hidden files and what editors write beside a file: `.a.md.swp`, `#a.md#`, `a.md~`.

    Raises:
        OSError: the folder exists and cannot be read.
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
                if stat.S_IFMT(status.st_mode) in _KINDS:
                    found[name] = _stamp(status)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of one file, or None if it is missing."""
    try:
        return _stamp(path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_prior(path: Path) -> Prior | str:
    """Return the prior in a file, or what is wrong with the file."""
    if path.name != printable(path.name):
        return "its name is not UTF-8 text: rename it"
    try:
        check_id(path.stem)
        if path.is_symlink():
            return "is a symbolic link: put the file itself there"
        if path.stat().st_size > MOST_BYTES:
            return f"is too long: {path.stat().st_size:,} bytes, and {MOST_BYTES:,} are the most"
        raw = path.read_bytes()
        if b"\0" in raw:
            return "is not UTF-8 text but binary"
        text = raw.decode()
        check_text(text)
        return parse_prior(path.stem, text)
    except PriorError as exc:
        return str(exc)
    except UnicodeDecodeError as exc:
        return f"is not UTF-8 text: {exc.reason} at byte {exc.start}"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"


def printable(name: str) -> str:
    """Return a file's name with bytes that are no UTF-8 replaced: they can be neither printed nor in an id."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class PriorFolder:
    """Reads a folder without the cognition base. Only files that changed since the last read are parsed again.

    Args:
        path: the folder; it may be missing at any time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[tuple[Path, str]] = []
        """Files that the last read found to be no prior, and why. Their names are printable."""
        self._known: dict[str, tuple[Stamp, Prior | str]] = {}

    def read(self) -> list[Prior]:
        """Return the enabled priors, sorted by id. A broken file is left out and listed in `problems`."""
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
