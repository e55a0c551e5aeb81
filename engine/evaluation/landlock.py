"""Confine files by Landlock, for machines on which bubblewrap cannot make namespaces.

The engine plans the rules as plain data; the harness applies them to itself before any code of a task or a candidate
runs. Landlock checks opening, making, moving and removing of files. It does not hide their names, sizes and times.
"""

# Paths here are as they stand in the view of an evaluation.
# ruff: noqa: PTH110, PTH114, PTH118, PTH207, PTH208

from __future__ import annotations

import ctypes
import glob
import os
from collections.abc import Iterable
from typing import Any

from engine.evaluation.system_paths import ETC, ETC_OF_GPU, GPU_DEVICES, SYSTEM, USR_MERGED

__all__ = ["GUARDS_FROM", "LISTABLE", "READABLE", "landlock_version", "plan_rules"]

GUARDS_FROM = 6
"""The first version that keeps a process from signalling those outside its domain, such as its evaluator."""

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_ALL = (1 << 13) - 1
"""All rights of the first version."""
READABLE = _EXECUTE | _READ | _LIST
LISTABLE = _LIST

_ABOUT_MACHINE = ["/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version"]
_ABOUT_MACHINE += ["/proc/filesystems", "/proc/sys/vm", "/proc/sys/kernel", "/sys/devices/system"]
_DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"]
_ABOUT_GPU = ["/sys", "/proc/driver"]


def landlock_version() -> int:
    """Return the version of Landlock's interface (ABI) here; 0 if the kernel has none or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, int(found))


def plan_rules(
    version: int, shown: Iterable[str], hidden: Iterable[str], gpu: bool, network: bool = False
) -> dict[str, Any]:
    """Return the rules for a process: the rights that Landlock handles, and those granted below each path.

    The process adds its scratch folder and its own entry in /proc itself.

    Args:
        version: the version of Landlock's interface.
        shown: folders and files that the process may read.
        hidden: folders that stay unreadable even below one that is shown, unless they are shown themselves.
        gpu: whether the process may use the machine's GPUs.
        network: whether it may use TCP.
    """
    handled = _ALL
    handled |= _REFER if version >= 2 else 0
    handled |= _TRUNCATE if version >= 3 else 0
    handled |= _IOCTL if version >= 5 else 0
    rules: list[tuple[str, int]] = []
    own = set(shown)
    concealed = [os.path.realpath(path) for path in hidden if path not in own]
    for path in sorted(
        {*own, *SYSTEM, *USR_MERGED, *ETC, *_ABOUT_MACHINE, *([*_ABOUT_GPU, *ETC_OF_GPU] if gpu else [])}
    ):
        if os.path.exists(path):
            rules += _without(os.path.realpath(path), concealed)
    writable = _READ | _WRITE | _TRUNCATE
    rules += [(path, writable) for path in _DEVICES]
    if gpu:
        devices = [path for pattern in GPU_DEVICES for path in sorted(glob.glob(pattern))]
        rules += [(path, writable | _LIST | _IOCTL) for path in devices]
    return {
        "handled": handled,
        "net": 3 if version >= 4 and not network else 0,  # BIND_TCP, CONNECT_TCP
        "scoped": 3 if version >= GUARDS_FROM else 0,  # ABSTRACT_UNIX_SOCKET, SIGNAL
        "rules": [(path, access & handled) for path, access in dict(rules).items()],
    }


def _without(path: str, concealed: list[str]) -> list[tuple[str, int]]:
    """Return rules to read a path but for the concealed folders in it, whose names alone can be listed.

    A right holds for all below a folder and cannot be taken back there, so it is given to each of its entries instead.
    """
    if path in concealed:
        return []
    if not any(folder.startswith(path.rstrip("/") + "/") for folder in concealed):
        return [(path, READABLE)]
    rules = [(path, LISTABLE)]
    for entry in sorted(os.listdir(path)):
        below = os.path.join(path, entry)
        if not os.path.islink(below):
            rules += _without(below, concealed)
    return rules
