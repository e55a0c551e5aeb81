"""`evolve check`: take a task's seeds through everything a round would do, and say what is wrong, by file and key."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cognition.files import PriorFolder
from cognition.prior import Prior
from engine.designers.recombine import EditError, check_recipes, check_tuning, take_inventory
from engine.errors import TaskError, UsageError
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.evaluation.sandbox import find_sandbox
from engine.llm.prompts import check_prompts
from engine.programs.outline import ProgramError
from engine.runs.configure import check_way_out, configured
from engine.task.interface import check_program
from engine.task.snapshot import task_files
from engine.task.spec import Seed, Stage, Task
from engine.text import counted, is_text, legible, one_line

__all__ = ["Finding", "check_task"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    where: str
    """File, and key or stage."""
    what: str
    """What was found."""
    detail: str = ""
    """What the evaluator printed, where that helps."""


async def check_task(task: Task) -> AsyncIterator[Finding]:
    """Look at a loaded task part by part; what cannot be told without running it is run.

    Raises:
        EvolveError: no evaluation can be started on this machine.
    """
    yield Finding(True, "task.toml", f"{task.spec.name}, {task.spec.direction} {task.spec.metric}")
    for path in task_files(task.folder):
        if not is_text(path.name):
            yield Finding(
                False, legible(path.name), "its name is not valid UTF-8: rename it, since a run keeps it as text"
            )
    try:
        check_way_out(task, [("config.toml", configured())])
    except UsageError as exc:
        # Nothing of such a task is run.
        yield Finding(False, "task.toml", f"{exc.message}. {exc.hint}")
        return
    folder = PriorFolder(task.priors)
    priors = folder.read()
    for finding in _priors(task, folder, priors):
        yield finding
    for where, problem in check_prompts(task):
        yield Finding(False, where, problem)
    sandbox = find_sandbox()
    if task.spec.guarded and not sandbox.guards:
        yield Finding(True, "sandbox", f"results are 'open', not 'guarded': {one_line(sandbox.shortfall, 600)}")
    for seed in task.seeds:
        where = _file_of(task, seed)
        try:
            check_program(seed.code, task.spec)
        except ProgramError as exc:
            yield Finding(False, where, f"{exc.check}: {exc.reason}")
            continue
        yield _recombined(task, seed, priors)
        for stage in task.spec.stages:
            outcome = await _evaluate(task, seed, stage)
            yield _judge(task, where, stage, outcome)


def _file_of(task: Task, seed: Seed) -> str:
    alone = seed.name == "seed" and (task.folder / "seed.py").exists()
    return "seed.py" if alone else f"seeds/{seed.name}.py"


def _recombined(task: Task, seed: Seed, priors: Sequence[Prior]) -> Finding:
    """What there is to recombine, where no model writes."""
    where = f"{_file_of(task, seed)} to recombine"
    interface = task.spec.interface
    recipes = sum(len(prior.recipes) for prior in priors if prior.enabled)
    try:
        found = take_inventory(seed.code, [*interface.functions, *interface.classes])
    except EditError as exc:
        return Finding(False, where, str(exc))
    text = found.describe(recipes)
    if not found.values and not recipes and len(task.seeds) == 1:
        text += ": without a model a run finds nothing to change; add recipes, or numbers that can be tuned"
    return Finding(True, where, text)


def _priors(task: Task, folder: PriorFolder, priors: Sequence[Prior]) -> list[Finding]:
    findings = [Finding(False, f"priors/{path.name}", problem) for path, problem in folder.problems]
    findings += [Finding(False, *problem.split(": ", 1)) for problem in check_recipes(task.seeds, priors)]
    seeds = [(_file_of(task, seed), seed) for seed in task.seeds]
    findings += [Finding(False, *problem.split(": ", 1)) for problem in check_tuning(seeds, priors)]
    if not findings:
        recipes = sum(len(prior.recipes) for prior in priors)
        found = f"{counted(len(priors), 'prior')}, {counted(recipes, 'recipe')}"
        what = found if priors else "none: nothing but the seed steers the search"
        findings.append(Finding(True, "priors", what))
    return findings


async def _evaluate(task: Task, seed: Seed, stage: Stage) -> Outcome:
    scratch = Path(tempfile.mkdtemp(prefix="evolve-check-"))
    try:
        job = Job(
            program=seed.code,
            task_folder=task.folder,
            folder=scratch / "evaluation",
            metric=task.spec.metric,
            guarded=task.spec.guarded,
            gpu=task.spec.gpu,
            python=task.spec.python,
            mounts=task.spec.mounts,
            stage=stage.name,
            repeat=0,
            seed=0,
            settings={**task.spec.settings, **stage.settings},
            limits=task.spec.limits_of(stage),
            threads=1,
        )
        evaluation = await Evaluation.start(job, lambda step, values: None)
        outcome = await evaluation.outcome()
        await evaluation.acknowledge()
        return outcome
    except OSError as exc:
        raise TaskError(f"the evaluation of {seed.name} could not start: {exc}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _judge(task: Task, where: str, stage: Stage, outcome: Outcome) -> Finding:
    label = f"{where} in '{stage.name}'"
    output = "\n".join(part.decode("utf-8", "replace").strip() for part in (outcome.stdout, outcome.stderr) if part)
    if outcome.status != "ok" or outcome.score is None:
        return Finding(False, label, f"{outcome.status}: {outcome.reason}", output)
    cost = f"{outcome.seconds:.2f} s, {outcome.peak_mb:.0f} MB"
    what = f"{task.spec.metric} {outcome.score:.6g} ({outcome.guarantee}), {cost}"
    if stage.threshold is not None and task.spec.better(stage.threshold, outcome.score):
        return Finding(False, label, f"{what}: worse than the stage's threshold {stage.threshold:g}", output)
    return Finding(True, label, what)
