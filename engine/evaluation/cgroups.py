"""Find where cgroups of evaluations can be made on this machine, and end processes that killed engines left in one.

A group is made below the engine's own, so that every limit that a container or a login session has still holds. Where
a version 2 group above the engine's is the user's and shares out memory, it is made there, and the limits of that one
hold.
`[sandbox]` in the workspace's config.toml, or `EVOLVE_CGROUP` for one command, switches cgroups off.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import UsageError
from engine.evaluation.bubblewrap import OFF, SandboxSettings, sandbox_settings
from engine.evaluation.supervisor.cgroup import Cgroup, is_abandoned, name_for
from engine.settings.decode import convert_table

__all__ = ["CGROUP_VARIABLE", "Cgroups", "configured_cgroups", "end_abandoned", "find_cgroups"]

CGROUP_VARIABLE = "EVOLVE_CGROUP"
"""`off` switches cgroups off; empty or `auto` uses them if they can be made."""

_FINDING = threading.Lock()
_SELF = Path("/proc/self")
_LEAF = "engine-of-"
_WANTED = ("memory", "pids")
_TRIAL = {"memory_mb": 64, "processes": 4}
_ADVICE = (
    "Log in with systemd's user manager at work, or start evolve with "
    "'systemd-run --user --scope -p Delegate=yes'; in a container, let it write to its own cgroup"
)


@dataclass(frozen=True)
class Cgroups:
    """Where the group of an evaluation is made."""

    parents: dict[str, str] = field(default_factory=dict)
    """The folder above it, by hierarchy, as `Cgroup` takes it; empty if no group can be had."""
    reason: str = ""
    """Why there is none; empty if there is."""
    advice: str = ""
    """What to do about it, one sentence."""
    missing: tuple[str, ...] = ()
    """Which of `memory`, `pids` and `swap` the groups here do not bound."""

    @property
    def version(self) -> str:
        """Return `v1`, `v2`, or nothing if there is none: the version that bounds memory."""
        if not self.parents:
            return ""
        return "v1" if "memory" in self.parents else "v2"

    @property
    def bounds_memory(self) -> bool:
        return bool(self.parents) and "memory" not in self.missing


def configured_cgroups() -> Cgroups:
    """Return where groups can be made here, by the settings in the workspace's config.toml and the environment.

    Raises:
        UsageError: config.toml holds something else.
    """
    return find_cgroups(sandbox_settings().cgroup)


def find_cgroups(wanted: str = "auto") -> Cgroups:
    """Find where groups can be made, by making one and putting a process into it; end processes that dead engines left.

    The result is kept for the life of this process. Under systemd this process may be moved to a scope of its own.

    Args:
        wanted: `off` for none; `EVOLVE_CGROUP` takes precedence.

    Raises:
        UsageError: the variable holds something else than `auto` or `off`.
    """
    said = os.environ.get(CGROUP_VARIABLE)
    if said:
        wanted = convert_table({"cgroup": said}, SandboxSettings, CGROUP_VARIABLE, UsageError).cgroup
    if wanted == OFF:
        return Cgroups(
            reason="cgroups are switched off", advice=f"Set `cgroup` in [sandbox], or {CGROUP_VARIABLE}, to auto"
        )
    # The group that is tried out has one name in this process.
    with _FINDING:
        return _find()


@functools.cache
def _find() -> Cgroups:
    found = _try_out(_version_1() | _version_2())
    if not found.parents and not _version_2() and _ask_systemd():
        found = _try_out(_version_1() | _version_2())
    if found.parents:
        end_abandoned(found)
    return found


def end_abandoned(cgroups: Cgroups) -> None:
    """Kill and remove the groups whose supervisor was killed. Those of other programs and of the living stay."""
    names = {name for parent in cgroups.parents.values() for name in _names_in(parent) if is_abandoned(name)}
    for name in names:
        group = Cgroup({k: v for k, v in cgroups.parents.items() if Path(v, name).is_dir()}, name)
        deadline = time.monotonic() + 2.0
        try:
            while group.pids() and time.monotonic() < deadline:
                group.kill()
                time.sleep(0.005)
            group.remove()
        except OSError:
            continue  # another engine ends it at this moment


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are wanted
    except OSError:
        return []


def _try_out(parents: dict[str, str]) -> Cgroups:
    """Make a group in these folders with a process in it; return what works."""
    if not parents:
        return Cgroups(reason="no cgroup that this user may write to bounds memory or processes", advice=_ADVICE)
    group = Cgroup(parents, f"{name_for(os.getpid())}-trial")
    try:
        group.make(_TRIAL)
        process = subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE, env={})
        try:
            group.add(process.pid)
            if group.pids() != [process.pid]:
                return Cgroups(reason="a process cannot be put into a cgroup", advice=_ADVICE)
            missing = tuple(name for name in (*_WANTED, "swap") if not _does(group, name))
            needed = _needed(group, parents)
        finally:
            process.kill()
            process.communicate()
    except OSError as exc:
        return Cgroups(reason=f"no cgroup can be made: {exc}", advice=_ADVICE)
    finally:
        group.remove()
    return Cgroups(needed, missing=missing)


def _needed(group: Cgroup, parents: dict[str, str]) -> dict[str, str]:
    """Return the folders without those of version 1 that only do what version 2 does beside them.

    Each costs an evaluation a folder, and a move of each of its processes.
    """
    if "unified" not in parents or not Path(group.folders["unified"], "cgroup.freeze").exists():
        return parents
    return {hierarchy: folder for hierarchy, folder in parents.items() if hierarchy not in ("cpuacct", "freezer")}


def _does(group: Cgroup, what: str) -> bool:
    """Return whether a group bounds memory or processes, or keeps its memory out of swap if there is any."""
    if what == "swap":
        files = {"memory": "memory.memsw.limit_in_bytes", "unified": "memory.swap.max"}
        return _swap_is_off() or any(Path(group.folders[h], files[h]).exists() for h in files if h in group.folders)
    files = {what: "cgroup.procs", "unified": f"{what}.max"}
    return any(Path(group.folders[h], files[h]).exists() for h in files if h in group.folders)


def _swap_is_off() -> bool:
    try:
        return len(Path("/proc/swaps").read_text().splitlines()) <= 1
    except OSError:
        return True  # a kernel without swap has no such file


# Version 1


def _version_1() -> dict[str, str]:
    """Return this process's folders in the hierarchies of version 1 in which it may make others."""
    found = {name: _own_folder(name) for name in (*_WANTED, "cpuacct", "freezer")}
    usable = {name: folder for name, folder in found.items() if folder and os.access(folder, os.W_OK)}
    # What only counts or freezes is no limit.
    return usable if any(name in usable for name in _WANTED) else {}


def _own_folder(controller: str) -> str:
    """Return the folder of this process's group in the hierarchy of a controller; `unified` is that of version 2."""
    key = "" if controller == "unified" else controller
    own = ""
    for line in (_SELF / "cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if key in names.split(",") if key else names == "":
            own = path
    if not own:
        return ""
    for line in (_SELF / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        if kind == ("cgroup" if key else "cgroup2") and (not key or key in options.split(",")):
            # A container may see its own group as the root of the mounted hierarchy.
            below = own.removeprefix(root) if root != "/" else own
            return f"{place}/{below.strip('/')}".rstrip("/")
    return ""


# Version 2


def _version_2() -> dict[str, str]:
    """Return the folder of version 2 in which this process may make groups that bound memory or processes.

    It also serves beside version 1, to freeze, kill and count.
    """
    own = _own_folder("unified")
    if not own:
        return {}
    if _version_1():
        return {"unified": own} if _may_hold(own) else {}
    folder = own
    while Path(folder, "cgroup.procs").exists():
        if _may_hold(folder) and "memory" in _controllers(folder, "cgroup.subtree_control"):
            return {"unified": folder}
        folder = str(Path(folder).parent)
    return {"unified": own} if _make_room(own) else {}


def _controllers(folder: str, file: str) -> list[str]:
    try:
        return Path(folder, file).read_text().split()
    except OSError:
        return []


def _may_hold(folder: str) -> bool:
    """Tell whether groups can be made in a folder, and processes put into them."""
    return os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)


def _make_room(own: str) -> bool:
    """Move this process down into a group of its own and share out the controllers of the one above.

    A group with processes in it cannot share out controllers. If others are in it too, it is not ours to change.
    """
    if not _may_hold(own) or "memory" not in _controllers(own, "cgroup.controllers"):
        return False
    # What outlives this process in it, such as a hook, is no evaluation to be ended: the name is not one of theirs.
    leaf = Path(own, f"{_LEAF}{name_for(os.getpid())}")
    try:
        if Path(own, "cgroup.procs").read_text().split() != [str(os.getpid())]:
            return False
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        for name in (n for n in _WANTED if n in _controllers(own, "cgroup.controllers")):
            Path(own, "cgroup.subtree_control").write_text(f"+{name}")
    except OSError:
        return False
    return True


def _ask_systemd() -> bool:
    """Ask the user's systemd for a delegated scope for this process; return whether this process is in it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    busctl = shutil.which("busctl")
    if not busctl or not runtime or not Path(runtime, "systemd", "private").exists():
        return False
    scope = f"evolve-{os.getpid()}-{time.monotonic_ns()}.scope"
    properties = ["4", "PIDs", "au", "1", str(os.getpid()), "Delegate", "b", "true", "CollectMode", "s"]
    properties += ["inactive-or-failed", "Description", "s", "evolve: evaluations"]
    manager = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"]
    command = [busctl, "--user", "call", *manager, "StartTransientUnit", "ssa(sv)a(sa(sv))", scope, "fail"]
    try:
        subprocess.run([*command, *properties, "0"], capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:  # systemd moves it once it has answered
        if _own_folder("unified").endswith(scope):
            return True
        time.sleep(0.01)
    return False
