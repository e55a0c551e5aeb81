"""Find out which confinement the kernel itself offers: the seccomp filter and Landlock."""

from __future__ import annotations

import functools
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.evaluation.landlock import landlock_version, plan_rules
from engine.evaluation.seccomp import ARCHITECTURES, build_filter, number_of

__all__ = ["Kernel", "encode_confinement", "probe_kernel"]

_TRIAL = """
import ctypes, json, sys
sys.path.insert(0, sys.argv[1])
import evolve_task
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
plan, program = json.loads(sys.argv[2])
said = {}
try:
    if plan:
        evolve_task._apply_landlock(libc, plan, "")
except OSError as exc:
    said["landlock"] = str(exc)
try:
    if program:
        evolve_task._apply_filter(libc, bytes.fromhex(program))
except OSError as exc:
    said["seccomp"] = str(exc)
print(json.dumps(said))
"""


@dataclass(frozen=True)
class Kernel:
    """The means by which this kernel lets a process confine itself."""

    seccomp: bool
    landlock: int
    """The version of Landlock's interface; 0 if there is none."""
    no_seccomp: str = ""
    """Why there is no filter; empty if there is one."""
    no_landlock: str = ""


@functools.cache
def probe_kernel() -> Kernel:
    """Confine a child process once, and return what worked."""
    version = landlock_version()
    plan = plan_rules(version, [], [], False) if version else None
    program = build_filter("limits").hex()
    command = [sys.executable, "-I", "-S", "-c", _TRIAL, str(Path(__file__).parent), json.dumps([plan, program])]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True, env={"HOME": "/"})
        said = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as exc:
        said = {"landlock": f"a trial failed: {exc}", "seccomp": f"a trial failed: {exc}"}
    no_landlock = said.get("landlock", "") if version else "the kernel has no Landlock, or it is not in its list `lsm=`"
    known = platform.machine() in ARCHITECTURES
    no_seccomp = said.get("seccomp", "") if known else f"system calls of {platform.machine()} are not known"
    return Kernel(not no_seccomp, 0 if no_landlock else version, no_seccomp, no_landlock)


def encode_confinement(
    level: str,
    seccomp: bool,
    landlock: int,
    plan: dict[str, Any] | None,
    protected: list[int],
    memfds: bool,
    pinned: bool = False,
    network: bool = False,
) -> dict[str, Any]:
    """Return the steps by which a process confines itself, in the form that the harness takes.

    Args:
        level: of the sandbox.
        seccomp: whether to filter system calls.
        landlock: the version of Landlock's interface.
        plan: the rules of Landlock; None if it is not used.
        protected: processes that it must not signal.
        memfds: whether it may make files in memory that no process shows.
        pinned: whether it must stay on its processors, in one process.
        network: whether it may use the network of this machine.
    """
    program = b""
    if seccomp:
        program = build_filter(
            level, protected=tuple(protected), landlock=landlock, memfds=memfds, pinned=pinned, network=network
        )
    machine = platform.machine()
    return {
        "join": number_of("keyctl", machine) if machine in ARCHITECTURES else None,
        "landlock": plan,
        "filter": program.hex(),
    }
