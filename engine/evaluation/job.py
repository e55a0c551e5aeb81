"""What is to be evaluated, and how it is built before; or a command that edits a folder instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.task.spec import Limits

__all__ = ["Build", "Errand", "Job"]


@dataclass(frozen=True)
class Build:
    """A command that builds a candidate."""

    command: tuple[str, ...]
    files: dict[str, bytes]
    """Files beside the candidate's, by name."""
    limits: Limits
    mounts: tuple[str, ...] = ()
    """Folders that it may read, absolute."""


@dataclass(frozen=True)
class Errand:
    """A command that edits a folder of its own, confined like a candidate."""

    command: tuple[str, ...]
    files: dict[str, bytes]
    """What its folder holds at first, by path. What it leaves in `program/` is sent back."""
    stdin: str
    """The file of its folder that is its standard input; empty for none."""
    seconds: float
    """Wall-clock time, not counted while it is frozen."""
    tokens: int | None
    """It is ended once its `usage.json` tells more than this."""
    most_bytes: int
    """Most bytes of all files that it leaves in `program/`."""
    network: bool
    environment: dict[str, str] = field(repr=False)
    """Its variables beside those of every evaluation; they may be secrets, and reach no file."""


@dataclass(frozen=True)
class Job:
    """One evaluation: one program, one stage, one repeat."""

    program: str
    """The candidate's source text."""
    task_folder: Path
    folder: Path
    """The evaluation's own folder, created at its start and removed by `acknowledge`."""
    metric: str
    """The key of the score in the value that `evaluate` returns."""
    guarded: bool
    gpu: bool
    python: str | None
    mounts: list[str]
    """More folders that the evaluator may read, absolute or relative to the task folder."""
    stage: str
    repeat: int
    seed: int
    settings: dict[str, Any]
    limits: Limits
    threads: int
    device: str = ""
    """The assigned GPU, in the format of CUDA_VISIBLE_DEVICES."""
    cores: int = 0
    """How many processors the candidate is pinned to, in one process; 0: it is not pinned."""
    data_seed: int | None = None
    """The seed of data that the candidate is judged on; `seed` by default."""
    sandbox_seed: int | None = None
    """The seed that the candidate's process may see; by default one that `seed` is hashed to."""
    trusted: bool = False
    """Whether the evaluator runs unconfined, which a person has agreed to; its candidates do not."""
    suffix: str = ".py"
    """The suffix of the candidate's file."""
    tree: dict[str, bytes] | None = None
    """The files of a candidate that is a folder, by path, with those that no design changes; None if it is a file."""
    build: Build | None = None
    """How the candidate is built before it is evaluated."""
    is_build: bool = False
    """Whether this is that build, or an errand: no evaluator runs, and nothing of the task can be read."""
    errand: Errand | None = None
    """The command that is run in place of an evaluation."""
    built: dict[str, bytes] | None = None
    """What the build made, by name; None without one."""
    given: str = ""
    """The construction that the candidate is to improve, as JSON; empty if there is none."""
    containers: bool = False
    """Whether a trusted evaluator starts containers, for which it keeps the privileges of its user."""
