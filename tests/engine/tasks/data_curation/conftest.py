"""Set-up for the tests of the task data_curation."""

from __future__ import annotations

import functools
import importlib
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation import evolve_task
from tests.engine.tasks.builtin import BuiltIn

DATA = BuiltIn("data_curation")
SEED = DATA.seed
RAW = "def curate(document, category):\n    return document\n"
TINY = {"documents": 8, "held_out": 3, "budget": 40_000, "trainings": 1}


class Parts:
    """The task's modules, in this process; candidates run in it too."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.curve: list[tuple[int, float]] = []
        self.program: dict[str, Any] = {}
        harness = types.ModuleType("evolve_task")
        vars(harness).update(Invalid=evolve_task.Invalid, call=self.call)
        self.harness = harness

    def prepare(self) -> None:
        """Read each source only once."""
        # Reading gives the same result every time and takes longest.
        self.corpus.READERS = {name: functools.cache(read) for name, read in self.corpus.READERS.items()}

    def __getattr__(self, name: str) -> Any:
        return importlib.import_module(name)

    def call(self, function: str, documents: list[str], categories: list[str], seconds: float) -> list[Any]:
        self.calls.append((function, documents, categories))
        found = [self.program["curate"](*pair) for pair in zip(documents, categories, strict=True)]
        return [made if made is None or isinstance(made, str) else {"type": type(made).__name__} for made in found]

    def load(self, code: str) -> None:
        self.program = {}
        exec(compile(code, "candidate", "exec"), self.program)

    def run(self, code: str, seed: int = 3, **settings: Any) -> dict[str, Any]:
        """Return what `evaluate` returns for a program."""
        self.load(code)
        self.calls.clear()
        self.curve.clear()

        class Report:
            def __call__(report, step: int, bits_per_byte: float) -> None:
                self.curve.append((step, bits_per_byte))

        report = Report()
        vars(report).update(settings={**DATA.spec.settings, **TINY, **settings}, data_seed=seed, device="")
        found: dict[str, Any] = self.evaluate.evaluate("program.py", report)
        return found

    @functools.cache  # noqa: B019 - one for the module
    def noisy(self) -> list[Any]:
        """Return the documents that a program cleans in `run`."""
        drawn, _ = self.disturb.disturb(self.corpus.installed(8, 3, 3), 3)
        found: list[Any] = self.noise.plant(drawn, 3)
        return found

    @functools.cache  # noqa: B019
    def cleaned(self, code: str) -> tuple[list[str], dict[str, float]]:
        """Clean them with a program, without any training."""
        self.load(code)
        answer = self.call("", [item.text for item in self.noisy()], [item.category for item in self.noisy()], 0)
        texts, invented = self.measure.check(self.noisy(), answer)
        assert invented < 0.01
        return texts, self.evaluate.balance(self.measure.account(self.noisy(), texts))[0]


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    parts = Parts()
    with DATA.importable(parts.harness):
        parts.prepare()
        yield parts


def rows(count: int, category: str = "notes") -> list[dict[str, str]]:
    return [
        {"category": category, "text": "\n".join(f"{category} {k} says that line {n} is good" for n in range(25))}
        for k in range(count)
    ]


def write(path: Path, found: list[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in found))
    return path
