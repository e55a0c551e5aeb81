"""Tell the type of the file system that holds a path."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NETWORK_TYPES", "file_system_type", "reports_changes"]

NETWORK_TYPES = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "orangefs", "pvfs2", "smb2", "smb3", "smbfs",
})  # fmt: skip
"""File systems that other machines may write to."""

_SHARED_TYPES = frozenset({"drvfs", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"})
"""Folders that a virtual machine shares with its host."""


def file_system_type(path: Path) -> str:
    """Return the type of the file system that holds `path`, or an empty string if the platform does not tell.

    For a missing path, return the type for its nearest existing ancestor.
    """
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    existing = existing.resolve()
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].encode().decode("unicode_escape")
        if len(point) >= len(best) and existing.is_relative_to(point):
            best, kind = point, fields[2]
    return kind


def reports_changes(kind: str) -> bool:
    """Return whether the kernel reports every change on a file system of this type.

    It reports none that another machine, the host of a virtual machine or a FUSE server makes.
    """
    return kind not in NETWORK_TYPES and kind not in _SHARED_TYPES and not kind.startswith("fuse.")
