"""What the state of a run is made of: candidate programs, their evaluations, rounds in flight."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from engine.journal import events as ev

__all__ = ["BestStep", "Node", "NodeEvaluation", "OpenRound", "Phase", "RoleSpent", "RunStatus"]

RunStatus = Literal["running", "paused", "finished", "stopped", "failed"]
Phase = Literal["inject", "learn", "design", "experiment", "analyze", "end"]


class Node(msgspec.Struct, gc=False):
    """One candidate program and what came of it. Nothing that it holds leads back to it."""

    id: int
    round: int
    parents: tuple[int, ...]
    program: str
    """sha256 of its source."""
    operator: str
    name: str
    motivation: str
    priors: tuple[str, ...]
    designed_at: int
    size: int = 0
    """Bytes of its source; 0 where the journal does not tell."""
    sketch: str = ""
    """What `engine.programs.minhash` says of its source."""
    island: int | None = None
    """The island that its parent was drawn from, where the sampler had islands."""
    status: ev.Status | None = None
    """None while its evaluation has not ended."""
    score: float | None = None
    metrics: dict[str, Any] = {}
    reason: str = ""
    seconds: float = 0.0
    verified: float | None = None
    measurements: int = 0
    """How often it was measured in the stage that ranks."""
    spread: float | None = None
    """Standard deviation of the score over its measurements."""
    judge: float | None = None
    """The judge's mark from 0 to 1."""
    fitness: float | None = None
    """What it is ranked by under the settings of now, higher is better; None: it is not ranked."""
    stderr_blob: str = ""
    """What its last evaluation printed to stderr."""
    lesson: str = ""
    analyzed: bool = False
    expanded: int = 0
    """How often it was taken as a parent, rounds in flight included."""
    shown: int = 0
    """How often a design was shown it, as the parent or beside it."""
    pinned: bool = False
    pruned: bool = False
    starred: bool = False
    comments: tuple[str, ...] = ()


class NodeEvaluation(msgspec.Struct):
    """The evaluation of a node, as far as it has come."""

    done: list[ev.EvalStageDone] = []
    running: ev.EvalStarted | None = None
    progress: ev.EvalProgress | None = None
    started_at: int = 0
    """When the repeat that is running began, in milliseconds."""
    rerun: int | None = None
    """Number of the measurement that a person asked for; None for a first evaluation."""


class RoleSpent(msgspec.Struct):
    """What the calls of one role came to, those left out that cost nothing."""

    calls: int = 0
    usd: float = 0.0
    tokens: int = 0


class OpenRound(msgspec.Struct):
    """A round that has not ended."""

    round: int
    worker: int
    started_at: int
    injected: ev.Injected | None = None
    """The program of a person that takes this round."""
    learned: ev.LearnDone | None = None
    rejected: list[ev.DesignRejected] = []
    node: int | None = None


class BestStep(NamedTuple):
    """One new best."""

    seq: int
    at: int
    round: int
    node: int
    score: float
    """Its score when it was crowned."""
    fitness: float | None = None
    """Its fitness when it was crowned, or when all nodes were ranked anew after that."""
