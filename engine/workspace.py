"""Paths of the workspace."""

from __future__ import annotations

import os
from pathlib import Path

from cognition.mounts import NETWORK_TYPES, file_system_type

__all__ = ["network_file_system", "runs_folder", "workspace"]


def workspace() -> Path:
    """Return `$EVOLVE_HOME`, else the platform's folder for user data."""
    home = os.environ.get("EVOLVE_HOME")
    if home:
        return Path(home).expanduser().absolute()
    import platformdirs

    return platformdirs.user_data_path("evolve", appauthor=False)


def runs_folder() -> Path:
    """Return the folder of the runs."""
    return workspace() / "runs"


def network_file_system(path: Path) -> str:
    """Return the type of the network file system that holds `path`; empty for a local one.

    SQLite's write-ahead log needs shared memory, which network file systems do not give.
    """
    kind = file_system_type(path)
    return kind if kind in NETWORK_TYPES else ""
