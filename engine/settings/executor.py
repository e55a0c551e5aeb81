"""Where evaluations run: `[executor]` in config.toml."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ExecutorSettings"]


class ExecutorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where evaluations run; a task cannot say it, a person does."""

    name: Literal["local", "ray", "slurm"] = "local"
    """`local` is the engine's machine; `ray` a Ray cluster that it belongs to; `slurm` a cluster that it submits to."""
    address: str = "auto"
    """ray: HOST:PORT of the cluster's head; `auto` is the cluster that this machine belongs to."""
    scratch: str = ""
    """ray: the folder on each machine to work in; by default one of this user in the machine's temporary folder.
    slurm: a folder that all machines see under this path; by default `slurm` in the workspace."""
    options: list[str] = []
    """slurm: options for each sbatch, such as `--partition=gpu`; they come after ours, so that they win."""
    python: str = ""
    """slurm: the interpreter that serves evaluations on the machines; by default the engine's own."""
    poll_seconds: float = 5.0
    """slurm: how often the queue is asked, once for all evaluations. Results do not wait for that."""

    def __post_init__(self) -> None:
        if not self.address:
            raise ValueError("`address` must be auto or HOST:PORT")
        if self.scratch and not self.scratch.startswith(("/", "~/")):
            raise ValueError(f"`scratch` starts with / or ~/, and '{self.scratch}' does not")
        for option in self.options:
            if not option.startswith("-"):
                raise ValueError(f"`options` are options of sbatch, such as --partition=gpu, and '{option}' is none")
        if self.python and not self.python.startswith("/"):
            raise ValueError(f"`python` starts with /, and '{self.python}' does not")
        if not self.poll_seconds >= 0.1:
            raise ValueError(f"`poll_seconds` must be 0.1 or more, not {self.poll_seconds}")
