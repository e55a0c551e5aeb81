"""The filter of system calls, run by a small BPF machine for both architectures, and by the kernel."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from engine.evaluation import seccomp
from engine.evaluation.kernel import probe_kernel
from engine.evaluation.seccomp import ARCHITECTURES, build_filter, number_of
from tests.needs import leave_out

ALLOWED = 0
"""What `judge` returns for a call that passes."""
MACHINES = sorted(ARCHITECTURES)
ENGINE, SUPERVISOR = 4001, 4002


def judge(program: bytes, machine: str, call: str | int, *arguments: int, audit: int | None = None) -> int:
    """Run a filter as the kernel does; return the error that it gives the caller, or 0."""
    number = number_of(call, machine) if isinstance(call, str) else call
    assert number is not None
    words = [value & 0xFFFFFFFFFFFFFFFF for value in (*arguments, *[0] * 6)][:6]
    audit = ARCHITECTURES[machine].audit if audit is None else audit
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *words)
    steps = [struct.unpack_from("=HBBI", program, offset) for offset in range(0, len(program), 8)]
    register = at = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x20:  # load a word
            register = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:  # and
            register &= value
        elif code == 0x06:  # return
            assert value >> 16 in (0x7FFF, 0x0005), "neither allowed nor an error"
            return value & 0xFFFF if value >> 16 == 0x0005 else ALLOWED
        else:
            holds = {0x15: register == value, 0x25: register > value, 0x45: bool(register & value)}[code]
            at += yes if holds else no


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("level", ["bubblewrap", "landlock", "limits"])
def test_every_named_call_is_refused(machine: str, level: str) -> None:
    program = build_filter(level, machine)
    assert len(program) // 8 < 4096, "longer than the kernel takes"
    for table, error in ((seccomp._REFUSED, errno.EPERM), (seccomp._ABSENT, errno.ENOSYS)):
        for name in table:
            if number_of(name, machine) is not None:
                assert judge(program, machine, name, 1, 2, 3) == error, name


def test_usual_calls_pass(machine: str) -> None:
    # read, write, mmap, futex, exit_group, execve
    usual = {"x86_64": (0, 1, 9, 202, 231, 59), "aarch64": (63, 64, 222, 98, 94, 221)}[machine]
    for level in ("bubblewrap", "landlock", "limits"):
        program = build_filter(level, machine, protected=(ENGINE,), landlock=6)
        assert [judge(program, machine, number, 3) for number in usual] == [ALLOWED] * len(usual)


def test_calls_of_other_architectures_and_of_later_kernels_are_absent(machine: str) -> None:
    program = build_filter("bubblewrap", machine)
    for audit in (0x40000003, 0x40000028, 0):  # i386, arm
        assert judge(program, machine, 1, audit=audit) == errno.ENOSYS
    for number in (0x40000001, 0x400000 | 512, 457, 900, -1):  # x32 is marked by a bit
        assert judge(program, machine, number) == errno.ENOSYS


def test_new_namespaces_are_refused_and_threads_pass(machine: str) -> None:
    program = build_filter("bubblewrap", machine)
    namespaces = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
    for flag in namespaces:
        assert judge(program, machine, "clone", flag | 17) == errno.EPERM
        assert judge(program, machine, "unshare", flag) == errno.EPERM
    assert judge(program, machine, "unshare", 0x80) == errno.EPERM  # time
    assert judge(program, machine, "clone", 0x3D0F00) == ALLOWED  # as pthread_create
    assert judge(program, machine, "clone", 0x1200011) == ALLOWED  # as fork
    assert judge(program, machine, "unshare", 0x400) == ALLOWED  # files


def test_flags_are_compared_as_the_kernel_reads_them(machine: str) -> None:
    # It takes 32 bits of an int: what stands above must not hide the value.
    program = build_filter("bubblewrap", machine)
    assert judge(program, machine, "ioctl", 0, 0x5412) == errno.EPERM
    assert judge(program, machine, "ioctl", 0, 0x5412 | 1 << 32) == errno.EPERM
    assert judge(program, machine, "ioctl", 0, 0x541C) == errno.EPERM
    assert judge(program, machine, "ioctl", 0, 0x5401) == ALLOWED
    assert judge(program, machine, "socket", 40 | 1 << 40, 1) == errno.EAFNOSUPPORT


def test_sockets_by_level(machine: str) -> None:
    isolated, landlock, limits = (build_filter(level, machine) for level in ("bubblewrap", "landlock", "limits"))
    for family in (1, 2, 10, 16):
        assert judge(isolated, machine, "socket", family, 1, 0) == ALLOWED
    for family in (3, 5, 17, 29, 31, 38, 40, 44, 45):
        assert judge(isolated, machine, "socket", family, 1, 0) == errno.EAFNOSUPPORT
    assert judge(isolated, machine, "socket", 2, 1, 262) == errno.EPROTONOSUPPORT  # MPTCP
    assert judge(isolated, machine, "socket", 10, 1, 132) == errno.EPROTONOSUPPORT  # SCTP
    assert judge(isolated, machine, "socket", 16, 3, 9) == errno.EPROTONOSUPPORT  # audit
    assert judge(isolated, machine, "socket", 2, 1, 6) == ALLOWED
    assert [judge(landlock, machine, "socket", family, 1) for family in (1, 2, 10, 16)] == [errno.EACCES] * 4
    assert [judge(limits, machine, "socket", family, 1) for family in (2, 10, 16, 40)] == [errno.EACCES] * 4
    assert judge(limits, machine, "socket", 1, 1) == ALLOWED


def test_protected_processes_get_no_signal(machine: str) -> None:
    program = build_filter("limits", machine, protected=(ENGINE, SUPERVISOR))
    for target in (ENGINE, SUPERVISOR, -ENGINE, -SUPERVISOR, -1):
        assert judge(program, machine, "kill", target, 9) == errno.EPERM
    for call in ("tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        assert judge(program, machine, call, ENGINE, 9) == errno.EPERM
        assert judge(program, machine, call, 77, 9) == ALLOWED
    assert judge(program, machine, "kill", 77, 9) == ALLOWED
    assert judge(program, machine, "kill", 0, 9) == ALLOWED
    assert judge(program, machine, "tkill", 77, 9) == errno.EPERM
    assert judge(program, machine, "pidfd_send_signal", 7, 9) == errno.EPERM
    for command in (8, 10, 15):  # a descriptor's owner is sent a signal of one's choice
        assert judge(program, machine, "fcntl", 3, command) == errno.EPERM
    assert judge(program, machine, "fcntl", 3, 1) == ALLOWED


@pytest.mark.parametrize("level", ["landlock", "limits"])
def test_limits_and_priorities_of_others_are_refused_where_they_are_seen(machine: str, level: str) -> None:
    program = build_filter(level, machine)
    for call in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"):
        assert judge(program, machine, call, ENGINE) == errno.EPERM
        assert judge(program, machine, call, 0) == ALLOWED
        assert judge(build_filter("bubblewrap", machine), machine, call, 7) == ALLOWED
    assert judge(program, machine, "setpriority", 0, ENGINE) == errno.EPERM
    assert judge(program, machine, "setpriority", 2, 0) == errno.EPERM
    assert judge(program, machine, "setpriority", 0, 0) == ALLOWED
    assert judge(program, machine, "ioprio_set", 1, 0) == ALLOWED


def test_old_landlock_leaves_emptying_files_to_the_filter(machine: str) -> None:
    old, new = build_filter("landlock", machine, landlock=2), build_filter("landlock", machine, landlock=3)
    emptying, writing = 0o1000, 0o1001
    assert judge(old, machine, "openat", -100, 0, emptying) == errno.EACCES
    assert judge(old, machine, "openat", -100, 0, writing) == ALLOWED  # Landlock asks for the right to write
    assert judge(old, machine, "truncate", 0, 0) == errno.EACCES
    assert judge(old, machine, "openat2", -100) == errno.ENOSYS
    assert judge(new, machine, "openat", -100, 0, emptying) == ALLOWED
    assert judge(new, machine, "truncate", 0, 0) == ALLOWED


def test_unknown_machine_has_no_filter() -> None:
    assert build_filter("bubblewrap", "riscv64") == b""


def test_numbers_are_those_of_the_headers() -> None:
    headers = {
        "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "aarch64": "/usr/include/asm-generic/unistd.h",
    }
    there = {machine: Path(header) for machine, header in headers.items() if Path(header).exists()}
    if not there:
        leave_out("needs the kernel's headers")
    for machine, header in there.items():
        found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
        known = {name: int(number) for name, number in found}
        for name in (*seccomp._REFUSED, *seccomp._ABSENT, *seccomp._JUDGED):
            # Headers may be older than the newest calls.
            number = number_of(name, machine)
            assert number == known.get(name, number), name


def test_kernel_takes_the_filter() -> None:
    kernel = probe_kernel()
    assert kernel.seccomp or kernel.no_seccomp
