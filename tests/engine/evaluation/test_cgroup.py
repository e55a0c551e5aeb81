"""The cgroup of an evaluation: version 1 as it is on this machine, the files of version 2 in a folder like theirs."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.evaluation import cgroups as cg
from engine.evaluation.supervisor import cgroup as cgroup_module
from engine.evaluation.supervisor.cgroup import Cgroup, is_abandoned, name_for
from engine.evaluation.supervisor.processes import find_tree
from tests.needs import require

from .conftest import Workplace, until

LIMITS = {"memory_mb": 64, "processes": 4}
FILES = {
    "cgroup.procs": "",
    "cgroup.kill": "",
    "cgroup.freeze": "0",
    "cgroup.events": "populated 1\nfrozen 1\n",
    "memory.current": "0",
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.oom.group": "0",
    "memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n",
    "memory.stat": "anon 1000\nfile 9000\nkernel 300\nsock 20\nshmem 4\npagetables 100\n",
    "pids.current": "0",
    "pids.max": "max",
    "cpu.stat": "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n",
}
"""What the kernel puts into a group of version 2."""


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which every new one gets the files of a group of version 2, which lose them with it."""

    make_empty, remove_empty = os.mkdir, os.rmdir

    def make(path: str) -> None:
        make_empty(path)
        for name, text in FILES.items():
            Path(path, name).write_text(text)

    def remove(path: str) -> None:
        for name in FILES if Path(path).is_dir() else ():
            Path(path, name).unlink()
        remove_empty(path)

    monkeypatch.setattr(cgroup_module.os, "mkdir", make)
    monkeypatch.setattr(cgroup_module.os, "rmdir", remove)
    return tmp_path


def test_version_2_is_limited_and_read(version_2: Path) -> None:
    group = Cgroup({"unified": str(version_2)}, "evolve-x")
    group.make(LIMITS)
    folder = version_2 / "evolve-x"
    assert (folder / "memory.max").read_text() == str(64 * 2**20)
    assert (folder / "memory.swap.max").read_text()[0] == "0"
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "pids.max").read_text() == str(4 * 16 + 256)
    assert group.counts_memory
    # Cached files can be taken back and are no usage; page tables are part of what is the kernel's.
    assert (group.cpu_seconds(), group.memory_bytes(), group.oom_kills()) == (2.5, 1324, 1)
    group.add(4711)
    assert group.pids() == [4711]
    group.kill()
    assert (folder / "cgroup.kill").read_text() == "1"
    assert group.remove() and not folder.exists()


def test_version_2_of_older_kernels_sums_what_is_the_kernels(version_2: Path) -> None:
    group = Cgroup({"unified": str(version_2)}, "evolve-x")
    group.make(LIMITS)
    (version_2 / "evolve-x/memory.stat").write_text(
        "anon 1\nslab_unreclaimable 20\nkernel_stack 300\npagetables 4000\n"
    )
    assert group.memory_bytes() == 4321


def test_group_that_cannot_be_made_leaves_nothing(version_2: Path) -> None:
    (version_2 / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Cgroup({"unified": str(version_2), "pids": str(version_2 / "file")}, "evolve-x").make(LIMITS)
    assert not (version_2 / "evolve-x").exists()


def test_name_tells_whether_its_maker_has_ended() -> None:
    child = subprocess.Popen(["sleep", "100"])
    own, other = name_for(os.getpid()), name_for(child.pid)
    child.kill()
    child.wait()
    assert not is_abandoned(own) and not is_abandoned(f"{own}-trial")
    assert is_abandoned(other)
    space = own.split("-")[1]
    for name in ("evolve", "evolve-", "evolve-x-1-1", "evolve-1-1", f"evolve-{space}-x-1", "other-1-1", "user.slice"):
        assert not is_abandoned(name), name


@pytest.fixture
def group() -> Iterator[Cgroup]:
    require("cgroup")
    found = cg.find_cgroups()
    made = Cgroup(found.parents, f"{name_for(os.getpid())}-{uuid.uuid4().hex[:6]}")
    made.make(LIMITS)
    yield made
    made.kill()
    assert made.remove()


def _spawn(group: Cgroup, code: str) -> subprocess.Popen[bytes]:
    """Start a program that runs as soon as it is in the group."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", f"import sys; sys.stdin.read(1); {code}"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    group.add(process.pid)
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(b"x")
    return process


@pytest.mark.needs("cgroup")
def test_kernel_ends_what_passes_the_memory_limit(group: Cgroup) -> None:
    process = _spawn(group, "x = bytearray(100 * 2**20)")
    assert process.wait(90) == -9
    assert group.oom_kills() == 1


@pytest.mark.needs("cgroup")
def test_stop_reaches_every_process_and_leaves_the_group_unfrozen(group: Cgroup) -> None:
    code = "import os, time; os.fork(); os.fork()\nwhile True: pass"
    process = _spawn(group, code)
    try:
        while len(group.pids()) < 4:
            pass
        group.stop()
        while {find_tree(os.getpid()).get(pid) for pid in group.pids()} != {"T"}:
            pass
        before = group.cpu_seconds()
        assert group.cpu_seconds() == before > 0
    finally:
        group.kill()
        assert process.wait(90) == -9


@pytest.mark.needs("cgroup")
@pytest.mark.parametrize("hierarchies", [("memory", "pids", "cpuacct", "freezer"), ("memory", "pids", "unified")])
def test_each_way_to_kill_and_count(hierarchies: tuple[str, ...]) -> None:
    there = cg._version_1() | cg.find_cgroups().parents
    parents = {name: parent for name, parent in there.items() if name in hierarchies}
    group = Cgroup(parents, f"{name_for(os.getpid())}-{uuid.uuid4().hex[:6]}")
    group.make(LIMITS)
    process = _spawn(group, "import os; os.fork()\nwhile True: pass")
    while len(group.pids()) < 2 or group.cpu_seconds() < 0.05:
        pass
    group.kill()
    assert process.wait(90) == -9
    assert group.remove()


@pytest.mark.parametrize("freezes", [True, False])
def test_version_1_does_only_what_version_2_does_not_do_beside_it(tmp_path: Path, freezes: bool) -> None:
    parents = {name: str(tmp_path / name) for name in ("memory", "pids", "cpuacct", "freezer", "unified")}
    group = Cgroup(parents, "evolve-x")
    (tmp_path / "unified" / "evolve-x").mkdir(parents=True)
    if freezes:
        (tmp_path / "unified" / "evolve-x" / "cgroup.freeze").touch()
    assert set(cg._needed(group, parents)) == {"memory", "pids", "unified"} | (
        set() if freezes else {"cpuacct", "freezer"}
    )


@pytest.mark.needs("cgroup")
def test_only_abandoned_groups_are_ended(group: Cgroup) -> None:
    maker = subprocess.Popen(["sleep", "100"])
    left = Cgroup(cg.find_cgroups().parents, name_for(maker.pid))
    left.make(LIMITS)
    inside, outside = _spawn(left, "import time; time.sleep(100)"), _spawn(group, "import time; time.sleep(100)")
    maker.kill()
    maker.wait()
    others = Cgroup(cg.find_cgroups().parents, "evolve-of-others")
    others.make(LIMITS)
    try:
        cg.end_abandoned(cg.find_cgroups())
        assert inside.wait(90) == -9 and not any(map(os.path.exists, left.folders.values()))
        assert outside.poll() is None and all(map(os.path.exists, others.folders.values()))
    finally:
        outside.kill()
        outside.wait()
        others.remove()


def _own(folder: Path, groups: str, mounts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text(mounts)
    monkeypatch.setattr(cg, "_SELF", folder)


def test_own_group_is_found_where_a_container_mounts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = (
        "40 30 0:30 /docker/abc /sys/fs/cgroup/memory ro shared:1 - cgroup cgroup rw,memory\n"
        "41 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "42 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    groups = "9:memory:/docker/abc/x\n4:cpu,cpuacct:/y\n3:pids:/z\n0::/deep/er\n"
    _own(tmp_path, groups, mounts, monkeypatch)
    found = [cg._own_folder(name) for name in ("memory", "cpuacct", "pids", "unified")]
    assert found == [
        "/sys/fs/cgroup/memory/x",
        "/sys/fs/cgroup/cpu,cpuacct/y",
        "",
        "/sys/fs/cgroup/unified/deep/er",
    ]


def _tree(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> Path:
    """Lay out a hierarchy of version 2 whose group `user/scope` is this process's."""
    scope = folder / "fs" / "user" / "scope"
    scope.mkdir(parents=True)
    for place in (scope, scope.parent, scope.parent.parent):
        for name in ("cgroup.procs", "cgroup.controllers", "cgroup.subtree_control"):
            (place / name).write_text("")
    for place_and_name, text in texts.items():
        place, name = place_and_name.split("__")
        (scope if place == "scope" else scope.parent).joinpath(f"cgroup.{name}").write_text(text)
    _own(folder, "0::/user/scope\n", f"42 30 0:32 / {folder}/fs rw - cgroup2 cgroup2 rw\n", monkeypatch)
    return scope


def test_version_2_is_used_below_the_nearest_group_that_shares_out_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = _tree(tmp_path, monkeypatch, user__subtree_control="cpu memory pids\n")
    assert cg._version_2() == {"unified": str(scope.parent)}


def test_process_alone_in_a_delegated_group_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"scope__controllers": "memory pids\n", "scope__procs": f"{os.getpid()}\n"}
    scope = _tree(tmp_path, monkeypatch, **own)
    assert cg._version_2() == {"unified": str(scope)}
    leaf = f"engine-of-{name_for(os.getpid())}"
    assert (scope / leaf / "cgroup.procs").read_text() == str(os.getpid())
    assert not is_abandoned(leaf)
    assert (scope / "cgroup.subtree_control").read_text() == "+pids"  # each name is a write of its own


def test_group_with_other_processes_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = _tree(tmp_path, monkeypatch, scope__controllers="memory pids\n", scope__procs=f"1\n{os.getpid()}\n")
    assert cg._version_2() == {}
    assert [path.name for path in scope.iterdir() if path.is_dir()] == []


def test_systemd_is_asked_for_a_delegated_scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "runtime"
    (runtime / "systemd" / "private").mkdir(parents=True)
    scope = _tree(tmp_path, monkeypatch)
    (tmp_path / "busctl").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nfor word; do case $word in *.scope) echo "0::/user/$word"'
        f" > {tmp_path}/cgroup;; esac; done\n"
    )
    (tmp_path / "busctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert cg._ask_systemd()
    asked = (tmp_path / "asked").read_text()
    assert "--user call" in asked and f"PIDs au 1 {os.getpid()} Delegate b true" in asked
    assert scope.exists()


@pytest.mark.needs("cgroup")
async def test_killed_supervisor_leaves_no_group(work: Workplace) -> None:
    evaluation = await work.start("import time\ndef run(report):\n    report(step=1)\n    time.sleep(1000)\n")
    await until(lambda: work.progress)
    parent = Path(cg.find_cgroups().parents["memory" if cg.find_cgroups().version == "v1" else "unified"])
    name = name_for(evaluation._pid)
    assert (parent / name).exists()
    os.kill(evaluation._pid, 9)
    assert (await evaluation.outcome()).status == "crashed"
    # Another engine on this machine may be the one that removes it.
    await until(lambda: not (parent / name).exists())
    await evaluation.acknowledge()


def test_group_that_another_engine_removed_holds_no_process() -> None:
    assert Cgroup({}, name_for(1)).pids() == []


def test_word_other_than_auto_and_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cg.CGROUP_VARIABLE, "of")
    with pytest.raises(UsageError, match="EVOLVE_CGROUP"):
        cg.find_cgroups()


def test_group_of_another_is_not_removed_if_its_name_is_taken(tmp_path: Path) -> None:
    taken = tmp_path / "b" / "name"
    taken.mkdir(parents=True)
    (tmp_path / "a").mkdir()
    with pytest.raises(FileExistsError):
        Cgroup({"pids": str(tmp_path / "a"), "memory": str(tmp_path / "b")}, "name").make(LIMITS)
    assert taken.is_dir()
    assert not (tmp_path / "a" / "name").exists()


def test_threads_that_look_at_once_find_the_same() -> None:
    cg._find.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cg.find_cgroups(), range(4)))
    assert all(each == cg.find_cgroups() for each in found)
    assert len({each.reason for each in found}) == 1
