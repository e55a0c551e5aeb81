"""Make the namespaces of one confined process inside a view that bubblewrap has made, and give up all rights there.

A view is a user namespace and a mount namespace without processes: the read-only files of a sandbox. What may differ
between two processes, or be written by one, is made here for each of them: process ids, network, System V objects,
the host's name, /proc, terminals, and the folders in memory.
"""

# Importing pathlib would delay the start.
# ruff: noqa: PTH103, PTH112, PTH120

from __future__ import annotations

import _socket
import ctypes
import fcntl
import os
import struct

from .native import libc

__all__ = ["NEW", "Entered", "disown", "enter_mounts", "enter_user", "furnish", "give_up"]

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
_NEWPID, _NEWNET = 0x20000000, 0x40000000
NEW = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
"""The flags of `clone` for a process in namespaces of its own."""

_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _MOVE, _REC = 1, 2, 4, 8, 32, 4096, 8192, 16384
_PRIVATE = 1 << 18
_DETACH = 2
_HOST = b"evolve"
_CAPABILITIES = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
"""Arguments of `capset`: this process, none."""


class Entered:
    """What a process in fresh namespaces still needs to give up its rights.

    Args:
        proc: an open folder: /proc of these namespaces, in which this process may write.
        user: its user and group in the view, which are the same to those outside as `inside`.
    """

    def __init__(self, proc: int, user: tuple[int, int]) -> None:
        self.proc = proc
        self.user = user


def _call(what: str, *arguments: object) -> None:
    """Make a system call by the C library's function of that name.

    Raises:
        OSError: it failed.
    """
    if getattr(libc, what)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what} {arguments!r}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    words = [word.encode() or None for word in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), data.encode() or None)


def enter_user(user: int) -> None:
    """Enter a view's user namespace, where this process has all rights; it has none outside of it.

    Raises:
        OSError: the kernel does not let it.
    """
    _call("setns", user, _NEWUSER)


def enter_mounts(mounts: int) -> None:
    """Enter a view's mount namespace, which belongs to the user namespace that this process is in.

    Raises:
        OSError: the kernel does not let it.
    """
    _call("setns", mounts, _NEWNS)


def furnish(sizes: dict[str, int], kept: list[str], program: bytes | None, place: str) -> Entered:
    """Give this process, the first in its namespaces, what is its own: /proc, terminals, folders in memory.

    Args:
        sizes: the folders in memory, and how many bytes each may hold; the first is the scratch folder.
        kept: what the view shows below these folders, read-only.
        program: the candidate's file, which appears read-only; None if the view has none.
        place: the file's path.

    Raises:
        OSError: something cannot be made.
    """
    _mount("none", "/", "", _REC | _PRIVATE)
    _call("sethostname", _HOST, ctypes.c_size_t(len(_HOST)))
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(any_socket.fileno(), 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
    any_socket.close()
    guarded = _NOSUID | _NODEV | _NOEXEC
    # One of them serves to write what may be written only now, and is gone with its last descriptor.
    _mount("proc", "/proc", "proc", guarded)
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    _call("umount2", b"/proc", _DETACH)
    # The kernel wants to see one while another is mounted.
    scratch = next(iter(sizes))
    _mount("proc", scratch, "proc", guarded | _RDONLY)
    _call("umount2", b"/proc", _DETACH)
    _mount(scratch, "/proc", "", _MOVE)
    _call("umount2", b"/dev/pts", _DETACH)
    _mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    if program is not None:
        _mount("tmpfs", scratch, "tmpfs", _NOSUID | _NODEV, f"mode=0755,size={len(program) + 65536}")
        _write(f"{scratch}/program.py", program, os.O_CREAT)
        _call("umount2", place.encode(), _DETACH)  # what the view shows there
        _mount(f"{scratch}/program.py", place, "", _BIND)
        _mount("none", place, "", _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)
        _call("umount2", scratch.encode(), _DETACH)
    for folder, size in sizes.items():
        below = _open_below(folder, kept)
        if not below:
            _call("umount2", folder.encode(), _DETACH)  # the view's own
        _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, f"mode=0755,size={size}")
        for path, fd in below.items():
            if os.path.isdir(f"/proc/self/fd/{fd}"):
                os.makedirs(path, 0o755, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
            _mount(f"/proc/self/fd/{fd}", path, "", _BIND | _REC)
            os.close(fd)
    return Entered(proc, (os.getuid(), os.getgid()))


def _open_below(folder: str, paths: list[str]) -> dict[str, int]:
    """Open those of these paths that lie below a folder and exist."""
    found = {}
    for path in paths:
        if path.startswith(folder + "/"):
            try:
                found[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
    return found


def disown(entered: Entered, inside: tuple[int, int]) -> None:
    """Give up all rights for good: over the namespaces, by a user namespace below theirs, and then over that.

    Args:
        entered: as of `furnish`.
        inside: the user and the group that this process shall have.

    Raises:
        OSError: something is left.
    """
    _call("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: the maps belong to root otherwise
    _call("unshare", _NEWUSER)
    lines = {"setgroups": "deny", "uid_map": f"{inside[0]} {entered.user[0]} 1"}
    lines["gid_map"] = f"{inside[1]} {entered.user[1]} 1"
    for name, line in lines.items():
        _write(f"self/{name}", line.encode(), folder=entered.proc)
    _write("sys/user/max_user_namespaces", b"0", folder=entered.proc)
    os.close(entered.proc)
    if libc.unshare(_NEWUSER) == 0:
        raise OSError("a user namespace can be made")
    for capability in range(64):
        if libc.prctl(24, capability, 0, 0, 0) < 0:  # PR_CAPBSET_DROP
            break  # the kernel knows no more
    give_up()


def give_up() -> None:
    """Give up all rights that this process has in its user namespace.

    Raises:
        OSError: something is left.
    """
    _call("prctl", 47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL
    _call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    _call("capset", *_CAPABILITIES)
    _call("prctl", 4, 0, 0, 0, 0)  # nobody may look into this process


def _write(file: str, content: bytes, more: int = 0, folder: int | None = None) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC | more, 0o666, dir_fd=folder)
    try:
        while content:
            content = content[os.write(fd, content) :]
    finally:
        os.close(fd)
