"""Read everything that an export holds beside a run's state: notes, shown priors, human acts, costs of models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.runs.status import RunSummary, summary_now
from engine.state.armed import describe_armed
from engine.state.fold import apply, damage_named, first_state
from engine.state.run_state import RunState

__all__ = ["RECOMBINED", "Act", "Cost", "Record", "read_record"]

RECOMBINED = (
    "The designer 'recombine' invents nothing: these results are a search among what people wrote down "
    "(seeds, recipes in priors, injected programs) and the numbers in it."
)
"""Shown beside all results of that designer."""


class Act(NamedTuple):
    """Something that a person did."""

    seq: int
    at: int
    node: int | None
    what: str
    text: str


@dataclass(slots=True)
class Cost:
    """Sums over the calls of one role to one model."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    failed: int = 0


@dataclass
class Record:
    """A run, read in full; programs and logs stay in the journal until they are needed."""

    run: Run
    reader: JournalReader
    state: RunState
    summary: RunSummary
    notes: dict[int, str] = field(default_factory=dict)
    """The analyzer's note on each node."""
    shown: dict[int, list[ev.PriorShown]] = field(default_factory=dict)
    """Priors that the design of each round was shown."""
    acts: list[Act] = field(default_factory=list)
    costs: dict[tuple[str, str], Cost] = field(default_factory=dict)
    """By role and model."""
    designers: list[str] = field(default_factory=list)
    """Names of the designers that were at work, in order."""
    guarantees: dict[str, int] = field(default_factory=dict)
    """How many measurements were `guarded` and `open`."""

    @property
    def start(self) -> ev.RunStarted:
        """The first event."""
        return self.state.start

    @property
    def guarantee(self) -> str:
        """`guarded` if every measurement was, else `open`."""
        return "guarded" if set(self.guarantees) == {"guarded"} else "open"

    @property
    def recombined(self) -> bool:
        """Whether the designer without a model wrote any candidates."""
        return "recombine" in self.designers

    def code(self, node: int) -> str:
        """Return a node's program."""
        return self.reader.text(self.state.nodes[node].program)


def read_record(run: Run, reader: JournalReader) -> Record:
    """Read a run's events once.

    Raises:
        JournalError: the journal is damaged or holds no run.
    """
    state = first_state(reader)
    record = Record(run, reader, state, summary_now(run, state))
    with damage_named(reader.path):
        for event in reader.events(after=state.seq):
            apply(state, event)
            _take(record, event)
    record.summary = summary_now(run, state)
    return record


def _take(record: Record, event: ev.Event) -> None:
    match event.data:
        case ev.AnalyzeDone() as data if event.node is not None:
            record.notes[event.node] = data.note
        case ev.LearnDone() as data if event.round is not None:
            record.shown[event.round] = data.priors
        case ev.EvalStageDone() as data:
            record.guarantees[data.guarantee] = record.guarantees.get(data.guarantee, 0) + 1
        case ev.EngineStarted() as data:
            if data.designer not in record.designers:
                record.designers.append(data.designer)
        case ev.CallDone() as data:
            cost = record.costs.setdefault((data.role, data.model), Cost())
            cost.calls += 1
            cost.tokens_in += data.tokens_in
            cost.tokens_out += data.tokens_out
            cost.usd += data.usd
            cost.seconds += data.seconds
            cost.failed += bool(data.error)
        case _:
            described = _describe_act(event.data)
            if described is not None:
                record.acts.append(Act(event.seq, event.at, event.node, *described))


def _describe_act(data: ev.Data) -> tuple[str, str] | None:
    """Return what a person did in a word or two, and its text; None if the event is no act of a person."""
    match data:
        case ev.Injected():
            return f"injected a {data.what}", data.text if data.what == "hint" else f"{data.name} {data.text}".strip()
        case ev.NodeCommented():
            return "commented", data.text
        case ev.NodeStarred():
            return ("starred" if data.starred else "took the star off"), ""
        case ev.NodeRerun():
            return "measured again", f"measurement {data.repeat + 1}"
        case ev.NodePinned() | ev.NodeUnpinned() | ev.NodePruned() | ev.NodeRestored():
            return data.KIND.removeprefix("node."), ""
        case ev.SettingsChanged():
            return "set", ", ".join(f"{key} = {value}" for key, value in data.settings.items())
        case ev.PauseArmed():
            # What takes it back without a person is followed by the pause itself.
            return ("asked for a pause", describe_armed(data)) if data.at else None
        case ev.ActUndone():
            return "took back", data.text
        case ev.RunPaused():
            return "paused", "evaluations frozen" if data.now else data.reason
        case ev.RunResumed():
            return "resumed", ""
        case ev.RunStopped():
            return "stopped", data.reason
        case ev.RunForked():
            return "forked", f"from {data.parent} at event {data.at_seq}"
        case ev.TaskChanged(adopted=True):
            return "replaced the task", ", ".join(data.files)
        case ev.PriorChanged():
            return f"prior {data.change}", f"{data.id}: {data.title}" if data.title else data.id
        case ev.PriorAccepted() | ev.PriorRejected():
            return data.KIND.replace(".", " "), data.id
        case ev.CommandDone(ok=False):
            return f"{data.name} was refused", data.result
    return None
