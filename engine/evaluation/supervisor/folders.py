"""Deleting folders that a hostile program has filled."""

# Pathlib would add to the time that the supervisor takes to start.
# ruff: noqa: PTH101, PTH104, PTH106, PTH108, PTH114

from __future__ import annotations

import errno
import os
import sys

__all__ = ["discard", "remove_tree"]


def remove_tree(folder: str) -> None:
    """Delete a folder whatever is in it; its depth is flattened, since a hostile one may be deeper than any path.

    Links in it are removed and never followed; folders that may not be read or written are opened first. Nothing may
    write to it meanwhile.

    Raises:
        OSError: it is missing, is no folder but a link to one, or cannot be removed.
    """
    if os.path.islink(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
    moved, mark = 0, os.urandom(8).hex()
    while True:
        os.chmod(folder, 0o700)
        children = _remove_files(folder)
        for child in children:
            os.chmod(child, 0o700)
            for grandchild in _remove_files(child):
                moved += 1
                os.chmod(grandchild, 0o700)
                os.rename(grandchild, f"{folder}/{mark}-{moved}")
            os.rmdir(child)
        if not children:
            os.rmdir(folder)
            return


def _remove_files(folder: str) -> list[str]:
    """Delete what is no folder in a folder; the folders in it."""
    children = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                children.append(entry.path)
            else:
                os.unlink(entry.path)
    return children


def discard(folder: str) -> None:
    """Delete a folder, or say on stderr why that failed."""
    try:
        remove_tree(folder)
    except OSError as exc:
        sys.stderr.write(f"{folder} cannot be removed: {exc}\n")
