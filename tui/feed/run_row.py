"""A run as the list of runs shows it, here or on another machine."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.runs.hosts import RemoteRun
from engine.runs.run_filter import RunFacts
from engine.runs.status import started_ms
from engine.state.ranking import Figures, Ranking

__all__ = ["RunRow", "remote_row"]

_STATUSES = ("running", "paused", "finished", "stopped", "failed", "dead")


class RunRow(msgspec.Struct, frozen=True):
    """A run in the list."""

    folder: Path
    status: str
    task: str = ""
    rounds: int = 0
    rounds_total: int = 0
    """The limit; 0 if it is not known."""
    nodes: int = 0
    best: Figures | None = None
    ranking: Ranking = Ranking()
    started: int = 0
    """When it was started or forked, in milliseconds since 1970."""
    host: str = ""
    to_record: float | None = None
    """The share of the way from the seed to the best value known; None if none is known."""
    trouble: str = ""
    """Why the run cannot be read."""
    tags: tuple[str, ...] = ()
    archived: bool = False
    disk: int | None = None
    """Bytes on the disk; None if they are not known yet."""
    on: str = ""
    """The machine that it is on, by its name in config.toml; empty for this one."""

    @property
    def name(self) -> str:
        """The folder's name, after that of another machine; the name alone of one that is not reached."""
        if self.status == "away":
            return self.on
        return f"{self.on}:{self.folder.name}" if self.on else self.folder.name

    @property
    def key(self) -> tuple[str, Path]:
        """What no other row has."""
        return self.on, self.folder

    @property
    def facts(self) -> RunFacts:
        """What a filter knows of it."""
        return RunFacts(self.name, self.task, self.status, self.on or self.host, self.tags, self.archived)


def remote_row(on: str, run: RemoteRun) -> RunRow:
    """Return the row of a run on another machine."""
    best = None if run.best is None else Figures(run.best.score, run.best.fitness)
    status = run.status if run.status in _STATUSES else "broken"
    return RunRow(
        Path(run.run), status, run.task, run.rounds, 0, run.nodes, best, Ranking(by_fitness=run.ranked_by == "fitness"),
        started_ms({"started": run.started}), run.host, run.to_record, "", run.tags, run.archived, run.disk, on,
    )  # fmt: skip
