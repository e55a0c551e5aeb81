"""Builds: in the candidate's sandbox, before the evaluation, and for the same program alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RunError
from engine.evaluation.build import Builds, build_of, tree_of
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.evaluation.job import Build
from engine.task.spec import BuildSpec, Limits, ProgramSpec, TaskSpec
from tests.engine.evaluation.conftest import Workplace

HELPER = """
import ctypes
import evolve_task

def run(x):
    library = ctypes.CDLL(evolve_task.built("run.so"))
    library.run.restype = ctypes.c_double
    try:
        open(evolve_task.built("run.so"), "ab")
        writable = True
    except OSError:
        writable = False
    return [library.run(ctypes.c_double(x)), evolve_task.program_file().rpartition("/")[2], writable]
"""
GUARDED = """
import evolve_task

def evaluate(program_path):
    for ask in (evolve_task.built, evolve_task.program_file):
        try:
            ask()
        except RuntimeError:
            continue
        raise AssertionError("a guarded evaluator sees the candidate")
    found, name, writable = evolve_task.call("helper.py:run", 3.0)
    assert name == "program.c", name
    return {"score": found, "writable": writable}
"""
OPEN = """
import subprocess
import evolve_task

def evaluate(program_path):
    assert evolve_task.program_file() == program_path and program_path.endswith("program.c")
    return {"score": float(subprocess.run([evolve_task.built("run")], capture_output=True).stdout)}
"""
C = '#include "factor.h"\ndouble run(double x) { return FACTOR * x; }\n'
GCC = ("gcc", "-shared", "-fPIC", "-o", "run.so", "program.c")


class Building:
    """A workplace that counts its builds."""

    def __init__(self, work: Workplace) -> None:
        self.work = work
        self.count = 0
        self.builds = Builds(self._build)

    async def _build(self, job: Job) -> Outcome:
        self.count += 1
        return await run(job)

    def job(self, program: str, evaluator: str, command: tuple[str, ...] = GCC, **options: Any) -> Job:
        task = self.work.folder / "task"
        task.mkdir(exist_ok=True)
        (task / "helper.py").write_text(HELPER)
        limits = Limits(**{"seconds": 20.0, **options.pop("limits", {})})
        build = Build(command, {"factor.h": b"#define FACTOR 2.0\n"}, limits)
        return replace(self.work.job(program, evaluator, **options), suffix=".c", build=build)

    async def evaluate(self, job: Job) -> Outcome:
        """Build and evaluate, as a run does."""
        made = await self.builds.of(job)
        return made if isinstance(made, Outcome) else await run(replace(job, built=made))


async def run(job: Job) -> Outcome:
    evaluation = await Evaluation.start(job, lambda step, values: None)
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    return outcome


@pytest.mark.needs("gcc")
async def test_a_helper_gets_what_was_built_and_it_is_built_once_for_one_program(work: Workplace) -> None:
    building = Building(work)
    first = await building.evaluate(building.job(C, GUARDED, guarded=True))
    again = await building.evaluate(building.job(C, GUARDED, guarded=True))
    assert (first.status, first.score, first.reason, again.score) == ("ok", 6.0, "", 6.0)
    assert building.count == 1
    # Without a sandbox only the owner of files matters, and root may write all.
    assert work.sandbox == "limits" or first.metrics["writable"] is False
    other = await building.evaluate(building.job(C.replace("FACTOR *", "1.5 *"), GUARDED, guarded=True))
    assert (other.score, building.count) == (4.5, 2)


@pytest.mark.needs("gcc")
async def test_an_open_evaluator_runs_a_program_that_was_built(guarded: Workplace) -> None:
    building = Building(guarded)
    code = '#include <stdio.h>\nint main(void) { puts("2.5"); return 0; }\n'
    outcome = await building.evaluate(building.job(code, OPEN, ("gcc", "-o", "run", "program.c")))
    assert (outcome.status, outcome.score) == ("ok", 2.5), outcome


@pytest.mark.needs("gcc")
async def test_a_build_that_fails_is_invalid_with_the_compilers_message(guarded: Workplace) -> None:
    building = Building(guarded)
    broken = C.replace("* x", "* y") + "".join(f"int f{n}(void) {{ return none{n}; }}\n" for n in range(200))
    outcome = await building.evaluate(building.job(broken, GUARDED, guarded=True))
    assert (outcome.status, outcome.score, outcome.guarantee) == ("invalid", None, "guarded")
    assert outcome.reason.startswith("the build failed (exit code 1): program.c:2:")
    assert "error" in outcome.reason and "'y'" in outcome.reason.replace("‘", "'").replace("’", "'")
    said = outcome.stderr.decode()
    assert "In function" in said and "more bytes)" in said and len(said) < 4200
    assert building.count == 1


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        (("none-such-compiler",), "crashed", "the task's [build] cannot run 'none-such-compiler': No such file"),
        (("sleep", "60"), "timeout", "the build: time limit of 1 s"),
        (("sh", "-c", "exit 3"), "invalid", "the build failed (exit code 3): it says nothing"),
        (("sh", "-c", "head -c 3000000 /dev/zero > big"), "invalid", "the build made more than result_mb = 1 MiB"),
        (("sh", "-c", "ls /work /root /home 2>/dev/null; ls ../.. ; exit 1"), "invalid", "the build failed"),
    ],
)
async def test_what_else_ends_a_build(guarded: Workplace, command: tuple[str, ...], status: str, reason: str) -> None:
    building = Building(guarded)
    job = building.job(C, GUARDED, command, limits={"seconds": 1.0 if command[0] == "sleep" else 20.0, "result_mb": 1})
    outcome = await building.evaluate(job)
    assert outcome.status == status
    assert outcome.reason.startswith(reason)
    # It sees neither the task nor what judges the program.
    assert b"evaluate.py" not in outcome.stderr and b"helper.py" not in outcome.stderr


async def test_a_build_reads_its_mounts_and_no_other_folder(guarded: Workplace, tmp_path: Path) -> None:
    building = Building(guarded)
    for name in ("tool", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text(name)
    command = ("sh", "-c", f"cp {tmp_path}/tool/part . && ! cat {tmp_path}/other/part && ls {tmp_path}")
    job = building.job(C, GUARDED, command)
    assert job.build is not None
    job = replace(job, build=replace(job.build, mounts=(str(tmp_path / "tool"),)))
    assert await building.builds.of(job) == {"part": b"tool"}


@pytest.mark.parametrize("sent", ["", "no JSON", '{"../x": "YQ=="}', '{"x": "not base64"}', '{"x": 1}', '{"": "YQ=="}'])
async def test_what_is_no_build_is_refused(tmp_path: Path, sent: str) -> None:
    job = Building(Workplace(tmp_path, "limits")).job(C, GUARDED)
    outcome = Outcome("ok", 0.0, {}, "", "guarded", "limits", 0.1, 0.1, 1.0, b"", b"", built=sent)

    async def forged(_: Job) -> Outcome:
        return outcome

    refused = await Builds(forged).of(job)
    assert isinstance(refused, Outcome)
    assert (refused.status, refused.score, refused.reason) == ("invalid", None, "the build sent what is no build")


@pytest.mark.parametrize("built", ['{"x": "' + "A" * 800 + '"}', "{}"])
async def test_what_was_built_is_forgotten_where_it_grows_too_large(
    built: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.evaluation.build._KEPT_BYTES", 1000)
    building = Building(Workplace(tmp_path, "limits"))
    asked: list[str] = []

    async def large(job: Job) -> Outcome:
        asked.append(job.program)
        return Outcome("ok", 0.0, {}, "", "guarded", "limits", 0.1, 0.1, 1.0, b"", b"", built=built)

    builds = Builds(large)
    for program in ("a", "b", "b", "a"):
        assert not isinstance(await builds.of(building.job(program, GUARDED)), Outcome)
    assert asked == ["a", "b", "a"]


def test_a_file_of_the_task_that_is_gone_is_named(tmp_path: Path) -> None:
    spec = TaskSpec("t", "maximize", build=BuildSpec(["make"], files=["Makefile"]))
    with pytest.raises(RunError, match=r"Makefile, a file of the task, cannot be read: No such file"):
        build_of(spec, tmp_path)
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "data").symlink_to("/proc/self/mem")
    with pytest.raises(RunError, match=r"data, a file of the task, cannot be read"):
        tree_of(TaskSpec("t", "maximize", program=ProgramSpec(files=["*.py"])), tmp_path, "# ==== FILE: a.py ====\n")
    (tmp_path / "seed" / "data").unlink()
    with pytest.raises(RunError, match=r"data, a file of the task, cannot be read: No such file"):
        tree_of(
            TaskSpec("t", "maximize", program=ProgramSpec(files=["*.py"])),
            tmp_path,
            "# ==== FILE: a.py ====\n",
            recorded=["seed/data", "seed/a.py", "task.toml"],
        )
