"""The priors of a folder: one Markdown file each, read afresh whenever somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cognition.prior import Prior, PriorError, parse_prior

__all__ = ["PriorFolder"]


class _Stamp(NamedTuple):
    """What differs when a file was written anew, even within the clock's resolution or by a rename over it."""

    mtime_ns: int
    size: int
    inode: int


class PriorFolder:
    """Reads `*.md` of a folder; only files that changed since the last reading are parsed again.

    Args:
        path: the folder; it may be missing, now or later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[tuple[Path, str]] = []
        """Files that could not be read at the last reading, and why. Their names are printable: see `_printable`."""
        self._known: dict[Path, tuple[_Stamp, Prior | str]] = {}

    def read(self) -> list[Prior]:
        """The enabled priors as they are now, by id. A broken file is left out and told in `problems`."""
        known: dict[Path, tuple[_Stamp, Prior | str]] = {}
        for path, stamp in self._stamps():
            before = self._known.get(path)
            known[path] = before if before is not None and before[0] == stamp else (stamp, _parse(path))
        self._known = known
        found_wrong = [(path, found) for path, (_, found) in sorted(known.items()) if isinstance(found, str)]
        self.problems = [(path.with_name(_printable(path.name)), why) for path, why in found_wrong]
        priors = [found for _, found in known.values() if isinstance(found, Prior) and found.enabled]
        return sorted(priors, key=lambda prior: prior.id)

    def _stamps(self) -> Iterator[tuple[Path, _Stamp]]:
        for path in self.path.glob("*.md"):
            try:
                status = path.stat()
            except OSError:
                continue  # removed since the folder was listed
            # Editors keep their unsaved state in hidden files.
            if path.is_file() and not path.name.startswith("."):
                yield path, _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _printable(name: str) -> str:
    """A file's name with what is no UTF-8 in it replaced: it can be neither a prior's id nor be printed."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _parse(path: Path) -> Prior | str:
    """The prior in a file, or what is wrong with it."""
    if path.name != _printable(path.name):
        return "its name is no UTF-8 text: rename it"
    try:
        return parse_prior(path.stem, path.read_text(encoding="utf-8"))
    except PriorError as exc:
        return str(exc)
    except UnicodeDecodeError as exc:
        return f"is no UTF-8 text: {exc.reason} at byte {exc.start}"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"
