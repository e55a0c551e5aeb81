"""The systems that are compared: how each is started on the task, and where it keeps its state.

Nothing of a peer is imported here. A peer is its own command line, run by the Python of its own environment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import UsageError
from tests.bench.peers import state
from tests.bench.peers.task import EIGHT_NUMBERS, Problem

__all__ = ["OpenEvolve", "Ours", "Shinka", "Side", "sides_of"]


class Side(Protocol):
    """One system in one form."""

    name: str

    def prepare(self, folder: Path, url: str, rounds: int) -> list[str]:
        """Write what it needs into an empty folder and return its command; its state goes below `folder/state`."""

    def first_evaluation(self, folder: Path) -> float:
        """Return when it began to measure the first program, in seconds since 1970."""

    def kept(self, folder: Path) -> int:
        """Return how many measured programs its files hold, the first one not counted."""

    def rounds(self, folder: Path) -> int:
        """Return after how many rounds it would go on if it were started on its files."""

    def measured(self, folder: Path, designs: int) -> int:
        """Return how many rounds' programs it has measured when it asks for one with the number `designs`."""

    def scores(self, folder: Path) -> list[float | None]:
        """Return the score of each program in the order of evaluation, the first one's too; None if it failed."""


@dataclass(frozen=True)
class Ours:
    """`evolve run --headless`."""

    name: str
    guarded: bool
    problem: Problem = EIGHT_NUMBERS

    def prepare(self, folder: Path, url: str, rounds: int) -> list[str]:
        """See `Side`."""
        task = folder / "numbers"
        files = {
            "task.toml": self.problem.toml.format(guarded=str(self.guarded).lower()),
            "brief.md": self.problem.brief + "\n",
            "seed.py": self.problem.seed,
            "evaluate.py": self.problem.evaluator("guarded" if self.guarded else "open"),
            **self.problem.files,
        }
        _write(task, files)
        modes = {"full": 1.0, "diff": 0.0, "crossover": 0.0, "fix": 0.0}
        start = [sys.executable, "-c", "from engine.cli import main; main()"]
        command = [*start, "run", str(task), "--headless", "--trust", "--rounds", str(rounds)]
        command += ["--workers", "1", "--slots", "1", "--model", self.problem.model, "--base-url", url]
        command += [] if self.problem.number is None else ["--seed", str(self.problem.number)]
        return [*command, *(f"--set=designer.modes.{mode}={weight}" for mode, weight in modes.items())]

    def first_evaluation(self, folder: Path) -> float:
        """See `Side`."""
        return state.first_evaluation(folder / "state")

    def kept(self, folder: Path) -> int:
        """See `Side`."""
        return state.our_programs(folder / "state")

    def rounds(self, folder: Path) -> int:
        """See `Side`."""
        return state.our_programs(folder / "state")

    def measured(self, folder: Path, designs: int) -> int:
        """See `Side`."""
        return designs - 1

    def scores(self, folder: Path) -> list[float | None]:
        """See `Side`."""
        return state.our_scores(folder / "state")


@dataclass(frozen=True)
class OpenEvolve:
    """`openevolve-run`, whose evaluator runs a candidate in a Python of its own or in the worker's process."""

    name: str
    environment: Path
    apart: bool
    problem: Problem = EIGHT_NUMBERS

    def prepare(self, folder: Path, url: str, rounds: int) -> list[str]:
        """See `Side`."""
        # JSON is YAML too. Cascades are off because this evaluator has none, and would be loaded anew for each program.
        config = {
            "max_iterations": rounds,
            "diff_based_evolution": False,
            "llm": {"primary_model": self.problem.model, "api_base": url, "api_key": "none"},
            "prompt": {"system_message": self.problem.brief},
            # A program that failed would be measured up to three times more.
            "evaluator": {"parallel_evaluations": 1, "cascade_evaluation": False, "max_retries": 0},
            **({} if self.problem.number is None else {"random_seed": self.problem.number}),
        }
        files = {
            "seed.py": self.problem.seed,
            "evaluate.py": self.problem.evaluator("apart" if self.apart else "within"),
            "config.yaml": json.dumps(config),
        }
        _write(folder, files)
        command = [str(self.environment / "bin" / "openevolve-run"), "seed.py", "evaluate.py"]
        return [*command, "--config", "config.yaml", "--output", "state", "--iterations", str(rounds)]

    def first_evaluation(self, folder: Path) -> float:
        """See `Side`."""
        return float((folder / "first").read_text())

    def kept(self, folder: Path) -> int:
        """See `Side`."""
        return state.openevolve_state(folder / "state")[1]

    def rounds(self, folder: Path) -> int:
        """See `Side`."""
        return state.openevolve_state(folder / "state")[0]

    def measured(self, folder: Path, designs: int) -> int:
        """See `Side`."""
        return designs - 1

    def scores(self, folder: Path) -> list[float | None]:
        """See `Side`."""
        return state.noted_scores(folder / "scores")


@dataclass(frozen=True)
class Shinka:
    """`shinka_run` with local jobs; no embeddings, which would be calls of another kind."""

    name: str
    environment: Path
    problem: Problem = EIGHT_NUMBERS

    def prepare(self, folder: Path, url: str, rounds: int) -> list[str]:
        """See `Side`."""
        _write(folder / "task", {"initial.py": self.problem.seed, "evaluate.py": self.problem.evaluator("command")})
        settings = {
            "evo.llm_models": json.dumps([f"local/{self.problem.model}@{url}"]),
            "evo.embedding_model": "none",
            "evo.patch_types": '["full"]',
            "evo.patch_type_probs": "[1.0]",
            "evo.task_sys_msg": self.problem.brief,
        }
        # The initial program is a generation of its own.
        command = [str(self.environment / "bin" / "shinka_run"), "--task-dir", "task", "--results_dir", "state"]
        command += ["--num_generations", str(rounds + 1)]
        for kind in ("evaluation-jobs", "proposal-jobs", "db-workers"):
            command += [f"--max-{kind}", "1"]
        return [*command, *(f"--set={key}={value}" for key, value in settings.items())]

    def first_evaluation(self, folder: Path) -> float:
        """See `Side`."""
        # It copies the evaluator there.
        return float((folder / "state" / "first").read_text())

    def kept(self, folder: Path) -> int:
        """See `Side`."""
        return state.shinka_programs(folder / "state")

    def rounds(self, folder: Path) -> int:
        """See `Side`."""
        return state.shinka_programs(folder / "state")

    def measured(self, folder: Path, designs: int) -> int:
        """See `Side`."""
        # It may ask for the next program while one is being measured.
        return state.shinka_measured(folder / "state")

    def scores(self, folder: Path) -> list[float | None]:
        """See `Side`."""
        return state.noted_scores(folder / "state" / "scores")


_PEERS = {"openevolve": ("openevolve", "openevolve-run"), "shinka": ("shinka_evolve", "shinka_run")}
"""Each peer's package as the names of its metadata have it, and its command."""


def sides_of(against: str | None) -> tuple[list[Side], list[str]]:
    """Return what is to be compared, ours and theirs in turn, and the versions of the peers.

    Args:
        against: `NAME=ENVIRONMENT`, several parted by commas; None: ours alone.

    Raises:
        UsageError: a peer is unknown or named twice, or its environment lacks it.
    """
    environments = _environments(against) if against else {}
    versions = [f"{name} {_version(name, path)}" for name, path in environments.items()]
    ours: list[Side] = [Ours("ours guarded", guarded=True), Ours("ours open", guarded=False)]
    theirs: list[Side] = []
    for name, path in environments.items():
        if name == "openevolve":
            theirs += [
                OpenEvolve("openevolve subprocess", path, apart=True),
                OpenEvolve("openevolve in-process", path, apart=False),
            ]
        else:
            theirs.append(Shinka("shinka", path))
    turns = [side for pair in zip(ours, theirs, strict=False) for side in pair]
    return [*turns, *ours[len(theirs) :], *theirs[len(ours) :]], versions


def _environments(against: str) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for part in against.split(","):
        name, equals, path = part.partition("=")
        if not equals or not path:
            raise UsageError(f"'{part}' is not a peer with its environment", "--against openevolve=/path/to/venv")
        if name not in _PEERS:
            raise UsageError(f"there is no peer '{name}'", f"There are {' and '.join(_PEERS)}")
        if name in found:
            raise UsageError(f"the peer '{name}' is named twice", "Name each once")
        found[name] = Path(path).absolute()
    return found


def _version(name: str, environment: Path) -> str:
    package, command = _PEERS[name]
    metadata = sorted(environment.glob(f"lib/python*/site-packages/{package}-*.dist-info"))
    if not metadata or not (environment / "bin" / command).is_file():
        raise UsageError(
            f"{environment} is no virtual environment that has {package.replace('_', '-')} with its command {command}",
            "`make bench-peers` makes one for each peer",
        )
    return metadata[-1].name.removeprefix(f"{package}-").removesuffix(".dist-info")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
