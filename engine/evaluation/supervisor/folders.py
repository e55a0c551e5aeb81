"""Delete folders that a hostile program has filled."""

# Importing pathlib would delay the supervisor's start.
# ruff: noqa: PTH101, PTH104, PTH106, PTH108, PTH114

from __future__ import annotations

import errno
import os
import sys

__all__ = ["discard", "remove_tree"]


def remove_tree(folder: str) -> None:
    """Delete a folder with any content; flatten its depth first, since a hostile tree may exceed the length of a path.

    Links in it are removed and never followed; permissions of unreadable or unwritable folders are set first. Nothing
    may write to the folder meanwhile.

    Raises:
        OSError: it is missing, is a link to a folder, or cannot be removed.
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
    """Delete everything in a folder that is not a folder; return the folders in it."""
    children = []
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                children.append(entry.path)
            else:
                os.unlink(entry.path)
    return children


def discard(folder: str) -> None:
    """Delete a folder, or print to stderr why that failed."""
    try:
        remove_tree(folder)
    except OSError as exc:
        sys.stderr.write(f"{folder} cannot be removed: {exc}\n")
