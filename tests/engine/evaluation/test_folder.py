"""Candidates of several files: a folder in the evaluation, on every level of confinement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.evaluation.build import tree_of
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.evaluation.launch import warm_starts
from engine.programs.folders import join_files
from engine.programs.languages.registry import PYTHON
from engine.task.spec import ProgramSpec, TaskSpec
from tests.engine.evaluation.conftest import Workplace

SPEC = TaskSpec(name="folder", direction="maximize", program=ProgramSpec(files=["pack/*.py"]))
FILES = {
    "pack/__init__.py": "from pack.inner import FACTOR\n\n\ndef run(x):\n    return FACTOR * x\n",
    "pack/inner.py": "import pathlib\n\nROOT = pathlib.Path(__file__).parents[1]\n"
    "FACTOR = float((ROOT / 'data.txt').read_text())\n",
}
HELPER = """
import os
import evolve_task
import pack

def run(x):
    try:
        open(evolve_task.program_file() + "/new", "w")
        return None
    except OSError:
        return [pack.run(x), sorted(os.listdir(evolve_task.program_file()))]
"""
GUARDED = """
import evolve_task

def evaluate(program_path):
    found, names = evolve_task.call("helper.py:run", 3.0)
    assert names == ["data.txt", "pack"], names
    return {"score": found}
"""
OPEN = """
import sys

def evaluate(program_path):
    sys.path.insert(0, program_path)
    import pack
    return {"score": pack.run(3.0)}
"""


def job(work: Workplace, evaluator: str, guarded: bool) -> Job:
    code = join_files(FILES, PYTHON)
    made = work.job(code, evaluator, guarded=guarded)
    seed = made.task_folder / "seed"
    (seed / "pack").mkdir(parents=True, exist_ok=True)
    (seed / "data.txt").write_text("2.0")
    # A file of the program: the candidate's stands in its place, or none.
    (seed / "pack" / "gone.py").write_text("raise ValueError\n")
    (made.task_folder / "helper.py").write_text(HELPER)
    return replace(made, tree=tree_of(SPEC, made.task_folder, code))


async def run(job: Job) -> Outcome:
    evaluation = await Evaluation.start(job, lambda step, values: None)
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    return outcome


async def test_a_helper_imports_the_candidates_modules(work: Workplace) -> None:
    made = job(work, GUARDED, guarded=True)
    assert made.tree is not None and sorted(made.tree) == ["data.txt", "pack/__init__.py", "pack/inner.py"]
    if work.sandbox == "limits":
        made = replace(made, guarded=False)  # as root nothing keeps it from writing
        (made.task_folder / "evaluate.py").write_text(OPEN)
    outcome = await run(made)
    assert (outcome.status, outcome.score, outcome.reason) == ("ok", 6.0, "")


async def test_an_evaluator_gets_the_folder(guarded: Workplace) -> None:
    # The second of a kind could be forked, from what shows a file.
    before = warm_starts.failure
    for _ in range(2):
        outcome = await run(job(guarded, OPEN, guarded=False))
        assert (outcome.status, outcome.score, outcome.reason) == ("ok", 6.0, "")
        assert warm_starts.failure == before


async def test_folders_start_cold_and_nothing_fails_at_that(guarded: Workplace) -> None:
    failed = warm_starts.failure
    for _ in range(3):
        assert (await run(job(guarded, GUARDED, guarded=True))).status == "ok"
    assert warm_starts.failure == failed


def test_a_candidates_file_may_have_the_name_of_a_seeds_folder(tmp_path: Path) -> None:
    for name in ("pack/data/large", "other"):
        (tmp_path / "seed" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "seed" / name).write_text("x")
    spec = TaskSpec(name="folder", direction="maximize", program=ProgramSpec(files=["pack/*"]))
    tree = tree_of(spec, tmp_path, join_files({"pack/data": "1"}, PYTHON))
    assert tree == {"other": b"x", "pack/data": b"1\n"}


async def test_a_folder_has_no_functions_to_call(guarded: Workplace) -> None:
    evaluator = "import evolve_task\n\ndef evaluate(path):\n    return {'score': evolve_task.call('run')}\n"
    outcome = await run(job(guarded, evaluator, guarded=True))
    assert outcome.status == "crashed"
    assert "program is no Python module: call a function of a helper" in outcome.reason
