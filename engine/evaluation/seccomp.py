"""Compile the seccomp filter of evaluations: which system calls the kernel refuses, as a BPF program.

The program is plain data: the harness installs it before any code of a task or a candidate runs, on every level. It
refuses calls that no numerical program needs and calls that have led out of sandboxes; everything else passes.
System calls that are newer than this file are refused too.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["ARCHITECTURES", "Architecture", "build_filter", "number_of"]


@dataclass(frozen=True)
class Architecture:
    """A machine whose system calls are known."""

    audit: int
    """AUDIT_ARCH_*: the architecture that the kernel reports for a call."""
    column: int
    """The column of the tables below."""


ARCHITECTURES = {"x86_64": Architecture(0xC000003E, 0), "aarch64": Architecture(0xC00000B7, 1)}
"""By the name that `platform.machine` returns."""

_NEWEST = 456
"""The last number that is judged by name (futex_requeue); both machines number new calls alike."""
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Keys outlive a process and are shared by all that a user runs.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Other processes' memory, registers and descriptors.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Parts of the kernel with a long record of faults.
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "vmsplice": (278, 75),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "memfd_secret": (447, 447),
    # Mounts and roots.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    # The machine as a whole.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
    "nfsservctl": (180, 42),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    # Memory and messages that outlive the process that made them.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semctl": (66, 191),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
"""Refused with EPERM: name, number on x86_64, number on aarch64 (None: it has no such call)."""

_ABSENT: dict[str, tuple[int | None, int | None]] = {
    # Its flags lie in memory, which a filter cannot read: the C library falls back to clone.
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
"""Refused as if the kernel had no such call, so that libraries take another way."""

_JUDGED: dict[str, tuple[int | None, int | None]] = {
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "unshare": (272, 97),
    "personality": (135, 92),
    "socket": (41, 198),
    "memfd_create": (319, 279),
    "ioctl": (16, 29),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "fcntl": (72, 25),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "truncate": (76, 45),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
}
"""Calls whose arguments decide, or that depend on the level."""

_NEW_NAMESPACES = 0x7E020000
_NEW_TIME = 0x80
_CLONE_PARENT = 0x8000
_CLONE_THREAD = 0x10000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_PROTOCOLS = (0, 1, 6, 17, 58)
"""Default, ICMP, TCP, UDP, ICMPv6."""
_O_ACCMODE_TRUNC = 0o1003
_O_TRUNC = 0o1000

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _BITS, _ABOVE, _AND, _RETURN = 0x20, 0x15, 0x45, 0x25, 0x54, 0x06


@dataclass(frozen=True)
class _Rule:
    """Refuse a call if an argument has some value; arguments are compared by their low 32 bits, as int."""

    call: str
    argument: int
    test: Literal["is", "is not", "has bits", "lacks bits", "masked is"]
    values: tuple[int, ...]
    """For `masked is`: the mask and the value."""
    error: int = errno.EPERM
    when: tuple[int, int] | None = None
    """Another argument and the value that it must have for the rule to apply."""


_ALWAYS = [
    _Rule("clone", 0, "has bits", (_NEW_NAMESPACES | _CLONE_PARENT,)),
    _Rule("unshare", 0, "has bits", (_NEW_NAMESPACES | _NEW_TIME,)),
    # As it is, queried, and Linux with 32-bit or with fixed addresses left out.
    _Rule("personality", 0, "is not", (0, 8, 0xFFFFFFFF)),
    _Rule("ioctl", 1, "is", (0x5412, 0x541C)),  # TIOCSTI, TIOCLINUX: typing into a terminal
    # PRIO_PROCESS and IOPRIO_WHO_PROCESS: only itself, not all that the user runs.
    _Rule("setpriority", 0, "is not", (0,)),
    _Rule("ioprio_set", 0, "is not", (1,)),
]

_OWN_NETWORK = [
    _Rule("socket", 0, "is not", (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK), errno.EAFNOSUPPORT),
    _Rule("socket", 2, "is not", _PROTOCOLS, errno.EPROTONOSUPPORT, when=(0, _AF_INET)),
    _Rule("socket", 2, "is not", _PROTOCOLS, errno.EPROTONOSUPPORT, when=(0, _AF_INET6)),
    _Rule("socket", 2, "is not", (0,), errno.EPROTONOSUPPORT, when=(0, _AF_NETLINK)),  # NETLINK_ROUTE
]
"""Sockets that are useful in a separate network namespace."""

_SHARED_NETWORK = [
    # Abstract Unix sockets belong to the network, and lead to services of the user's session; `socketpair` makes none.
    _Rule("socket", 0, "is", (_AF_UNIX,), errno.EACCES),
    *_OWN_NETWORK,
]
"""Sockets of a process that may use the machine's network."""

_SHARED_PIDS = [
    # Without a process namespace these reach every process of the user.
    *(
        _Rule(call, 0, "is not", (0,))
        for call in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
    ),
    _Rule("setpriority", 1, "is not", (0,)),
    _Rule("ioprio_set", 1, "is not", (0,)),
    # RLIMIT_LOCKS marks the processes of an evaluation.
    _Rule("setrlimit", 0, "is", (10,)),
    _Rule("prlimit64", 1, "is", (10,)),
    # A descriptor's owner is sent a signal of one's choice.
    _Rule("fcntl", 1, "is", (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX
    _Rule("ioctl", 1, "is", (0x8901, 0x8902)),  # FIOSETOWN, SIOCSPGRP
]

_LANDLOCK = [
    # A path leads to every service of the user's session, such as one that starts programs.
    _Rule("socket", 0, "is not", (), errno.EACCES),
    # Landlock checks opening, making, moving and removing, but not changes of a file's attributes.
    *(
        _Rule(call, 0, "is not", ())
        for call in (
            *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchown", "fchownat"),
            *("utime", "utimes", "futimesat", "utimensat"),
        )
    ),
    *(
        _Rule(call, 0, "is not", (), errno.EOPNOTSUPP)
        for call in ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr")
    ),
]

_PINNED = [
    *(_Rule(call, 0, "is not", ()) for call in ("sched_setaffinity", "fork", "vfork", "execve", "execveat")),
    _Rule("clone", 0, "lacks bits", (_CLONE_THREAD,)),
]

_EMPTYING = [
    _Rule("truncate", 0, "is not", (), errno.EACCES),
    _Rule("openat2", 0, "is not", (), errno.ENOSYS),
    _Rule("openat", 2, "masked is", (_O_ACCMODE_TRUNC, _O_TRUNC), errno.EACCES),
    _Rule("open", 1, "masked is", (_O_ACCMODE_TRUNC, _O_TRUNC), errno.EACCES),
]
"""Landlock looks at files that are emptied from its third version on."""


@functools.lru_cache(maxsize=64)
def build_filter(
    level: str,
    machine: str = "",
    *,
    protected: tuple[int, ...] = (),
    landlock: int = 0,
    memfds: bool = True,
    pinned: bool = False,
    network: bool = False,
) -> bytes:
    """Return the filter as the array of `struct sock_filter` that the kernel takes; empty for an unknown machine.

    Args:
        level: `bubblewrap`, where the process has namespaces of its own; on `landlock` and `limits` it gets no network,
            and may change the limits, priority and affinity of itself alone. On `landlock` only `socketpair` makes
            sockets, and files keep their modes, owners, times and attributes.
        machine: as `platform.machine` returns it; by default this one.
        protected: processes that it must not signal, as it shares their process namespace.
        landlock: the version of Landlock that confines it.
        memfds: whether it may make files in memory that no process shows.
        pinned: whether it must stay on the processors that it has, and in one process, whose CPU time tells all.
        network: whether it may use the network of this machine.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return b""
    rules = list(_ALWAYS)
    if level == "bubblewrap":
        rules += _SHARED_NETWORK if network else _OWN_NETWORK
    else:
        rules += _SHARED_PIDS
        alone = _LANDLOCK if level == "landlock" else [_Rule("socket", 0, "is not", (_AF_UNIX,), errno.EACCES)]
        if network:
            alone = [rule for rule in alone if rule.call != "socket"] + _SHARED_NETWORK
        rules += alone
        if level == "landlock" and landlock < 3:
            rules += _EMPTYING
    if protected:
        rules += _protect(protected)
    if not memfds:
        # As an old kernel answers, so that programs take /dev/shm instead.
        rules.append(_Rule("memfd_create", 0, "is not", (), errno.ENOSYS))
    if pinned:
        rules += _PINNED
    return _base(machine) + _encode([*_judge(machine, rules), (_RETURN, 0, 0, _ALLOW)])


def _protect(protected: Sequence[int]) -> list[_Rule]:
    """Return the rules that keep signals from processes, and from the groups that they lead."""
    alone = tuple(protected)
    groups = tuple(-pid & 0xFFFFFFFF for pid in protected)
    return [
        _Rule("kill", 0, "is", (*alone, *groups, 0xFFFFFFFF)),
        _Rule("tgkill", 0, "is", alone),
        _Rule("rt_sigqueueinfo", 0, "is", alone),
        _Rule("rt_tgsigqueueinfo", 0, "is", alone),
        # A thread's number says nothing about its process, and a pidfd nothing about its number.
        _Rule("tkill", 0, "is not", ()),
        _Rule("pidfd_send_signal", 0, "is not", ()),
    ]


def number_of(name: str, machine: str) -> int | None:
    """Return the number of a call that the filter knows; None if the machine has no such call."""
    return {**_REFUSED, **_ABSENT, **_JUDGED}[name][ARCHITECTURES[machine].column]


_Instruction = tuple[int, int, int, int]


def _encode(instructions: Sequence[_Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


@functools.cache
def _base(machine: str) -> bytes:
    """Return the part that is the same for every evaluation."""
    architecture = ARCHITECTURES[machine]
    program: list[_Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),  # such as a 32-bit call on a 64-bit machine
        (_LOAD, 0, 0, 0),
        # So is x32's second ABI, which marks its numbers with 0x40000000.
        (_ABOVE, 0, 1, _NEWEST),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for table, error in ((_REFUSED, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for numbers in table.values():
            number = numbers[architecture.column]
            if number is not None:
                program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | error)]
    return _encode(program)


def _judge(machine: str, rules: Sequence[_Rule]) -> Iterator[_Instruction]:
    """Yield a block for each call: skipped for every other call, and left by a verdict."""
    for call in dict.fromkeys(rule.call for rule in rules):
        number = number_of(call, machine)
        if number is None:
            continue
        block = [step for rule in rules if rule.call == call for step in _test(rule)]
        block.append((_RETURN, 0, 0, _ALLOW))
        yield (_EQUAL, 0, len(block), number)
        yield from block


def _test(rule: _Rule) -> list[_Instruction]:
    """Return the instructions that refuse the call, or fall through to the next test."""
    refuse = (_RETURN, 0, 0, _ERRNO | rule.error)
    steps: list[_Instruction] = [(_LOAD, 0, 0, _low(rule.argument))]
    if rule.test == "has bits":
        steps += [(_BITS, 0, 1, rule.values[0]), refuse]
    elif rule.test == "lacks bits":
        steps += [(_BITS, 1, 0, rule.values[0]), refuse]
    elif rule.test == "masked is":
        mask, value = rule.values
        steps += [(_AND, 0, 0, mask), (_EQUAL, 0, 1, value), refuse]
    elif rule.test == "is":
        for value in rule.values:
            steps += [(_EQUAL, 0, 1, value), refuse]
    else:
        for index, value in enumerate(rule.values):
            steps.append((_EQUAL, len(rule.values) - index, 0, value))
        steps.append(refuse)
    if rule.when is not None:
        argument, value = rule.when
        steps = [(_LOAD, 0, 0, _low(argument)), (_EQUAL, 0, len(steps), value), *steps]
    return steps


def _low(argument: int) -> int:
    """Return the offset of an argument's low 32 bits; both machines are little-endian."""
    return 16 + 8 * argument
