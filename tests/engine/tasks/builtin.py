"""Shared set-up for tests of built-in tasks: the loaded task, its files as modules, evaluations in the sandbox."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from cognition.files import PriorFolder
from cognition.prior import Prior
from engine.designers.recombine import check_recipes
from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import parse_program
from engine.evaluation import evolve_task
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.task.interface import check_program
from engine.task.load import find_task, load_task

__all__ = ["BuiltIn", "Report"]


class BuiltIn:
    """A built-in task.

    Attributes:
        task: the loaded task.
        spec: its specification.
        folder: its folder.
        priors: its priors.
        seed: the code of its first seed.
        parts: names of the seed's functions.
    """

    def __init__(self, name: str) -> None:
        self.task = load_task(find_task(name))
        self.spec, self.folder = self.task.spec, self.task.folder
        self.priors = PriorFolder(self.task.priors).read()
        self.seed = self.task.seeds[0].code
        self.parts = frozenset(parse_program(self.seed).functions)

    @property
    def with_recipes(self) -> list[Prior]:
        """Return the priors that hold recipes."""
        return [prior for prior in self.priors if prior.recipes]

    def functions_of(self, prior: Prior) -> list[set[str]]:
        """Return for each recipe of a prior the functions of the seed that it replaces."""
        return [self.parts & set(parse_program(recipe.code).functions) for recipe in prior.recipes]

    def graft(self, prior: Prior, code: str | None = None) -> str:
        """Put a prior's recipes into a program, by default the seed, and check the result."""
        code = self.seed if code is None else code
        for recipe in prior.recipes:
            donor = parse_program(recipe.code)
            for function in self.parts & set(donor.functions):
                code = graft(parse_program(code), donor, function, self.parts)
        check_program(code, self.spec)
        return code

    def check_folder(self) -> None:
        """Assert that priors and recipes have no problems, and that every prior has its source."""
        assert check_recipes(self.task.seeds, self.priors) == []
        assert PriorFolder(self.task.priors).problems == []
        assert all(prior.source and prior.tags and prior.title for prior in self.priors)

    @contextmanager
    def importable(self, harness: ModuleType = evolve_task) -> Iterator[Callable[[str], Any]]:
        """Make the task's files importable, and forget them at the end; yield a function that imports one by name.

        Args:
            harness: the module that they import as `evolve_task`.
        """
        names = {path.stem for path in self.folder.glob("*.py")} | {"program", "evolve_task"}
        kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        path = str(self.folder)
        sys.path.insert(0, path)
        sys.modules["evolve_task"] = harness
        try:
            yield importlib.import_module
        finally:
            sys.path.remove(path)
            for name in names:
                sys.modules.pop(name, None)
            sys.modules.update(kept)

    async def evaluate(
        self,
        folder: Path,
        code: str,
        *,
        stage: str = "explore",
        mounts: Sequence[Path] = (),
        task_folder: Path | None = None,
        **settings: Any,
    ) -> tuple[Outcome, list[tuple[float | None, dict[str, float]]]]:
        """Evaluate a program in the sandbox; return the outcome and the reported steps with their values.

        Args:
            folder: where the evaluation gets its own folder.
            code: the program.
            stage: the name of the stage.
            mounts: more folders that the evaluator may read.
            task_folder: a folder with another evaluator; by default the task's.
            settings: on top of the task's.
        """
        work = folder / "run" / "work"
        number = next(number for number in itertools.count() if not (work / str(number)).exists())
        job = Job(
            program=code,
            task_folder=task_folder or self.folder,
            folder=work / str(number),
            metric=self.spec.metric,
            guarded=True,
            gpu=False,
            python=None,
            mounts=[str(mount) for mount in mounts],
            stage=stage,
            repeat=0,
            seed=3,
            settings={**self.spec.settings, **settings},
            limits=self.spec.limits_of(next(known for known in self.spec.stages if known.name == stage)),
            threads=1,
        )
        reports: list[tuple[float | None, dict[str, float]]] = []
        evaluation = await Evaluation.start(job, lambda step, values: reports.append((step, values)))
        outcome = await evaluation.outcome()
        await evaluation.acknowledge()
        return outcome, reports


class Report:
    """A report for an evaluator in this process; it keeps what was reported.

    Args:
        task: the evaluator's task.
        stage: the name of the stage.
        settings: on top of the task's.
    """

    given = None
    device = ""
    repeat = 0
    seed = 3
    data_seed = 3
    sandbox_seed = 4

    def __init__(self, task: BuiltIn, stage: str = "explore", **settings: Any) -> None:
        self.stage, self.settings = stage, {**task.spec.settings, **settings}
        self.seen: list[tuple[float | None, dict[str, float]]] = []

    def __call__(self, step: float | None = None, **values: float) -> None:
        self.seen.append((step, values))

    def keep(self, construction: Any) -> None:
        """Nobody improves it here."""

    def picture(self, kind: str, data: Any) -> None:
        """A picture is drawn by nobody here."""
