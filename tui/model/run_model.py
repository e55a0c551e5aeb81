"""One run as the screens see it: the fold of its events, and what only the screens need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from engine.errors import DamagedJournal
from engine.journal import events as ev
from engine.journal.live import LiveRow
from engine.runs.folder import fill_run
from engine.state.armed import describe_armed
from engine.state.best_known import describe_claim
from engine.state.fold import apply
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.state.standstill_told import standstill_line
from engine.state.timeline import copy_state
from engine.state.trouble import trouble_line
from tui.model.forest import Forest
from tui.model.outputs import Output, take_outputs
from tui.model.rates import RATE_SUFFIX, Measured, numbers_of
from tui.model.spending import ACTS, Spending
from tui.model.streams import Stream, take_rows

__all__ = ["Note", "NoteKind", "Part", "PriorSeen", "RunModel", "fold_model", "has_mark"]

Part = Literal["status", "tree", "scores", "rounds", "notes", "rates", "writing", "output"]
"""Parts that a change may concern; a widget updates only if its part is named."""

NoteKind = Literal["lesson", "failure", "best", "comment", "hint", "prior", "run", "refused"]


class Note(NamedTuple):
    """One line of the notes."""

    kind: NoteKind
    at: int
    node: int | None
    text: str


class PriorSeen(NamedTuple):
    """The last design that saw a prior."""

    round: int
    number: int
    """The revision; 0 if it is unknown."""


class RunModel:
    """Folds events into `engine.state.run_state.RunState` and into what only the screens need.

    Args:
        state: the run after its first event.
    """

    def __init__(self, state: RunState) -> None:
        self.state = state
        self.forest = Forest()
        self.notes: list[Note] = []
        self.best_lineage: frozenset[int] = frozenset()
        self.typed = "RUN"
        """The run as an argument of a command, which reasons and notes name."""
        self.answers: dict[int, ev.CommandDone] = {}
        """Answers to commands, by the command's id."""
        self.rates: dict[str, list[Measured]] = {}
        """Reported rates by name, one for each node, in the order of their evaluations."""
        self.metrics: dict[str, None] = {}
        """Names of the metrics that are numbers, in order of appearance."""
        self.telemetry: ev.Telemetry | None = None
        """The last telemetry of the machine."""
        self.streams: dict[int, Stream] = {}
        """Answers in progress, by the number of their call."""
        self.outputs: dict[int, Output] = {}
        """What running evaluations have printed, by node."""
        self.prior_shown: dict[str, PriorSeen] = {}
        """The last design that saw each prior, by the prior's id."""
        self.prior_awaited: dict[str, ev.PriorChanged] = {}
        """Changed priors whose new text no design has seen yet."""
        self.spending = Spending()
        """What had been spent when nodes were measured and people acted."""
        self.settings_set: dict[str, int] = {}
        """When people last set each setting, in milliseconds, by its name with dots."""
        self.pause_told = ""
        """The reason of the current pause, as the notes gave it."""

    def filled(self, text: str) -> str:
        """Return a reason or a note with the run in the place of RUN in the commands that it names."""
        return fill_run(text, self.typed)

    def settle(self) -> None:
        """Compute what is derived from the state, after events were folded one by one."""
        self.forest = Forest()
        self.forest.load((node.id, parent_of(node)) for node in self.state.nodes)
        self._crown()

    def copy(self) -> RunModel:
        """Return an independent copy; call `settle` before it is shown."""
        twin = RunModel(copy_state(self.state))
        twin.notes, twin.typed = self.notes.copy(), self.typed
        twin.answers = self.answers.copy()
        twin.rates = {name: history.copy() for name, history in self.rates.items()}
        twin.metrics = self.metrics.copy()
        twin.telemetry = self.telemetry
        twin.prior_shown = self.prior_shown.copy()
        twin.prior_awaited = self.prior_awaited.copy()
        twin.spending = self.spending.copy()
        twin.settings_set = self.settings_set.copy()
        twin.pause_told = self.pause_told
        return twin

    def apply(self, event: ev.Event) -> tuple[Part, ...]:
        """Fold one event; return the parts that it changed."""
        known = len(self.state.nodes)
        self.fold(event)
        for node in self.state.nodes[known:]:
            self.forest.insert(node.id, parent_of(node))
        if isinstance(event.data, ev.BestCrowned):
            self._crown()
        return _PARTS.get(event.data.KIND, ("status",))

    def take_live(self, rows: Iterable[LiveRow]) -> tuple[Part, ...]:
        """Add pieces of answers; return the parts that they changed."""
        kept = tuple(rows)
        parts: tuple[Part, ...] = ("rounds", "writing") if take_rows(self.streams, kept, self.state.calls) else ()
        return (*parts, "output") if take_outputs(self.outputs, kept, self.state.evaluations) else parts

    def node(self, node_id: int) -> Node | None:
        """Return a node, or None if there is none of that id."""
        return self.state.nodes[node_id] if 0 <= node_id < len(self.state.nodes) else None

    def parent(self, node: Node) -> Node | None:
        """Return the node that was edited to make this one."""
        above = parent_of(node)
        return None if above is None else self.node(above)

    def is_marked(self, mark: str, node: Node) -> bool:
        """Return whether a node has a mark as of `has_mark`, or is of the `best` lineage."""
        return node.id in self.best_lineage if mark == "best" else has_mark(node, mark)

    def _crown(self) -> None:
        best = self.state.best
        known = best is not None and best in self.forest
        self.best_lineage = frozenset(self.forest.lineage(best)) if known and best is not None else frozenset()

    def fold(self, event: ev.Event) -> None:
        """Fold one event; `settle` must follow to compute what is derived from the state."""
        apply(self.state, event)
        # Looked up by type: `isinstance` asks the metaclass of every struct, which would take as long as `apply` does.
        data = event.data
        kind = type(data)
        if kind in ACTS:
            self.spending.take_act(data, self.state)
        keeper = _BY_TYPE.get(kind)
        if keeper is not None:
            keeper(self, event, data)

    def _keep(self, kind: NoteKind, event: ev.Event, text: str, node: int | None = None) -> None:
        self.notes.append(Note(kind, event.at, event.node if node is None else node, text))


def fold_model(events: Iterable[ev.Event]) -> RunModel:
    """Return the model after some events, of which the first starts the run.

    Raises:
        DamagedJournal: there is no such event, or events contradict each other.
    """
    rest = iter(events)
    first = next(rest, None)
    if first is None:
        raise DamagedJournal("it has no event")
    model = RunModel(RunState(first))
    for event in rest:
        model.fold(event)
    model.settle()
    return model


def parent_of(node: Node) -> int | None:
    """Return the id of the node that was edited first, or None for a seed."""
    return node.parents[0] if node.parents else None


def has_mark(node: Node, mark: str) -> bool:
    """Return whether a person `pinned`, `pruned`, `starred` or `commented` the node, or what was measured made it
    `quarantined` or `broken`.
    """
    if mark == "commented":
        return bool(node.comments)
    return mark in ("pinned", "pruned", "starred", "quarantined", "broken") and bool(getattr(node, mark))


def _keep_telemetry(model: RunModel, event: ev.Event, data: ev.Telemetry) -> None:
    model.telemetry = data


def _end_stream(model: RunModel, event: ev.Event, data: ev.CallDone) -> None:
    model.streams.pop(data.call, None)
    model.spending.take_call(event.round, data)
    _keep_trouble(model, event, data)


def _keep_trouble(model: RunModel, event: ev.Event, data: ev.Data) -> None:
    told = trouble_line(event)
    if told:
        model._keep("refused", event, told)


def _end_output(model: RunModel, event: ev.Event, data: ev.Data) -> None:
    model.outputs.pop(event.node or 0, None)


def _begin_engine(model: RunModel, event: ev.Event, data: ev.EngineStarted) -> None:
    model.streams.clear()
    model.outputs.clear()
    model.pause_told = ""
    for lack in data.missing:
        model._keep("run", event, f"missing: {lack}")
    command = model.state.settings.command
    if data.designer == "command" and command.network:
        model._keep("run", event, f"the network is OPEN to {command.label}, which designs")


def _keep_metrics(model: RunModel, event: ev.Event, data: ev.EvalDone) -> None:
    model.spending.take_node(event.node or 0, model.state)
    for name, value in numbers_of(data.metrics).items():
        model.metrics[name] = None
        if name.endswith(RATE_SUFFIX):
            model.rates.setdefault(name, []).append(Measured(event.node or 0, value))


def _keep_learned(model: RunModel, event: ev.Event, data: ev.LearnDone) -> None:
    if event.round is None:
        return
    for prior in data.priors:
        model.prior_shown[prior.id] = PriorSeen(event.round, prior.number)
        awaited = model.prior_awaited.get(prior.id)
        if awaited is not None and awaited.revision == prior.revision:
            del model.prior_awaited[prior.id]
            which = f"rev {prior.number}" if prior.number else "new text"
            # The important part comes first: a narrow panel cuts the rest.
            model._keep("prior", event, f"from round {event.round} {which}: {prior.title or prior.id}")


def _keep_lesson(model: RunModel, event: ev.Event, data: ev.AnalyzeDone) -> None:
    node = model.state.nodes[event.node or 0]
    if node.score is None:
        kind: NoteKind = "failure"
    else:
        kind = "best" if node.id in [step.node for step in model.state.best_steps[-8:]] else "lesson"
    model._keep(kind, event, data.lesson)


def _keep_comment(model: RunModel, event: ev.Event, data: ev.NodeCommented) -> None:
    model._keep("comment", event, data.text)


def _keep_injected(model: RunModel, event: ev.Event, data: ev.Injected) -> None:
    model._keep("hint", event, f"hint: {data.text}" if data.what == "hint" else f"program injected: {data.name}")


def _keep_prior(model: RunModel, event: ev.Event, data: ev.PriorChanged) -> None:
    if data.change in ("added", "edited", "enabled"):
        model.prior_awaited[data.id] = data
    else:
        model.prior_awaited.pop(data.id, None)
    model._keep("prior", event, f"prior {data.change}: {data.title or data.id}")


def _keep_proposed(model: RunModel, event: ev.Event, data: ev.PriorProposed) -> None:
    model._keep("prior", event, f"prior proposed: {data.title or data.id}")


def _keep_prior_trouble(model: RunModel, event: ev.Event, data: ev.PriorWarned) -> None:
    for problem in data.problems:
        model._keep("refused", event, f"priors: {problem}")


def _keep_shortened(model: RunModel, event: ev.Event, data: ev.PromptsShortened) -> None:
    model._keep("refused", event, f"{data.model} gets short prompts from now on: {data.reason}")


def _keep_answer(model: RunModel, event: ev.Event, data: ev.CommandDone) -> None:
    model.answers[data.command] = data
    if data.code == "undone":
        model._keep("hint", event, data.result)
    elif not data.ok:
        model._keep("refused", event, f"{data.name} refused: {data.result}")


def _keep_undone(model: RunModel, event: ev.Event, data: ev.ActUndone) -> None:
    model._keep("hint", event, f"taken back: {data.text}")


def _keep_end(model: RunModel, event: ev.Event, data: ev.RunStopped | ev.RunFinished | ev.RunFailed) -> None:
    model._keep("run", event, f"{data.KIND.removeprefix('run.')}: {data.reason}")


def _keep_pause(model: RunModel, event: ev.Event, data: ev.RunPaused) -> None:
    if data.reason and f"paused: {data.reason}" != model.pause_told:
        model.pause_told = f"paused: {data.reason}"
        model._keep("run", event, model.pause_told)


def _keep_armed(model: RunModel, event: ev.Event, data: ev.PauseArmed) -> None:
    if data.at:
        model._keep("run", event, f"pauses {describe_armed(data)}")


def _end_pause(model: RunModel, event: ev.Event, data: ev.RunResumed) -> None:
    model.pause_told = ""


def _keep_warning(model: RunModel, event: ev.Event, data: ev.BudgetWarned) -> None:
    model._keep("run", event, f"budget: {data.spent:g} of {data.limit:g} {data.budget} spent")


def _keep_claim(model: RunModel, event: ev.Event, data: ev.BestCrowned) -> None:
    if claim := describe_claim(model.state):
        model._keep("best", event, f"past the record: {claim}")


def _keep_noise(model: RunModel, event: ev.Event, data: ev.NoiseMeasured) -> None:
    if data.note:
        model._keep("run", event, data.note)


def _keep_standstill(model: RunModel, event: ev.Event, data: ev.Data) -> None:
    model._keep("run", event, standstill_line(event))


def _keep_set(model: RunModel, event: ev.Event, data: ev.SettingsChanged) -> None:
    pending: list[tuple[str, Any]] = list(data.settings.items())
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            pending += [(f"{name}.{key}", below) for key, below in value.items()]
        else:
            model.settings_set[name] = event.at


def _keep_clock_step(model: RunModel, event: ev.Event, data: ev.ClockStepped) -> None:
    or_slept = ", or the machine slept" if data.by_ms > 0 else ""
    model._keep("run", event, f"clock: it moved by {data.by_ms / 1000:+,.0f} s; it was set{or_slept}")


_KEEPERS: dict[str, Callable[[RunModel, ev.Event, Any], None]] = {
    ev.Telemetry.KIND: _keep_telemetry,
    ev.CallStarted.KIND: _keep_trouble,
    ev.CallRetried.KIND: _keep_trouble,
    ev.CallDone.KIND: _end_stream,
    ev.DesignRejected.KIND: _keep_trouble,
    ev.RoundEnded.KIND: _keep_trouble,
    ev.EngineStarted.KIND: _begin_engine,
    ev.EvalStarted.KIND: _end_output,
    ev.EvalStageDone.KIND: _end_output,
    ev.EvalDone.KIND: _keep_metrics,
    ev.SettingsChanged.KIND: _keep_set,
    ev.LearnDone.KIND: _keep_learned,
    ev.AnalyzeDone.KIND: _keep_lesson,
    ev.NodeCommented.KIND: _keep_comment,
    ev.Injected.KIND: _keep_injected,
    ev.PriorChanged.KIND: _keep_prior,
    ev.PriorProposed.KIND: _keep_proposed,
    ev.PriorWarned.KIND: _keep_prior_trouble,
    ev.PromptsShortened.KIND: _keep_shortened,
    ev.CommandDone.KIND: _keep_answer,
    ev.ActUndone.KIND: _keep_undone,
    ev.PauseArmed.KIND: _keep_armed,
    ev.RunPaused.KIND: _keep_pause,
    ev.RunResumed.KIND: _end_pause,
    ev.RunStopped.KIND: _keep_end,
    ev.RunFinished.KIND: _keep_end,
    ev.RunFailed.KIND: _keep_end,
    ev.BudgetWarned.KIND: _keep_warning,
    ev.NoiseMeasured.KIND: _keep_noise,
    ev.BestCrowned.KIND: _keep_claim,
    ev.StandstillBegan.KIND: _keep_standstill,
    ev.StandstillActed.KIND: _keep_standstill,
    ev.StandstillEnded.KIND: _keep_standstill,
    ev.ClockStepped.KIND: _keep_clock_step,
}
_BY_TYPE = {ev.DATA_KINDS[kind]: keeper for kind, keeper in _KEEPERS.items()}

_PARTS: dict[str, tuple[Part, ...]] = {
    ev.RoundStarted.KIND: ("rounds", "status"),
    ev.RoundEnded.KIND: ("rounds", "status", "notes"),
    ev.LearnDone.KIND: ("rounds", "notes"),
    ev.CallStarted.KIND: ("rounds", "status", "notes", "writing"),
    ev.CallRetried.KIND: ("rounds", "status", "notes", "writing"),
    ev.CallDone.KIND: ("rounds", "status", "notes", "writing"),
    ev.DesignRejected.KIND: ("rounds", "status", "notes"),
    ev.DesignDone.KIND: ("rounds", "tree", "status"),
    ev.EvalStarted.KIND: ("rounds", "tree", "rates"),
    ev.EvalProgress.KIND: ("rounds", "rates"),
    ev.EvalPlaced.KIND: ("rounds",),
    ev.EvalSubmitted.KIND: ("rounds",),
    ev.EvalLost.KIND: ("rounds",),
    ev.ClusterChanged.KIND: ("rounds",),
    ev.MachineSeen.KIND: ("rounds",),
    ev.EvalStageDone.KIND: ("rounds", "tree", "rates"),
    ev.EvalDone.KIND: ("rounds", "tree", "scores", "rates"),
    ev.VerifyStarted.KIND: ("rounds", "tree"),
    ev.VerifyDone.KIND: ("rounds", "tree", "notes"),
    ev.BestCrowned.KIND: ("tree", "scores", "status", "rates", "notes"),
    ev.AnalyzeDone.KIND: ("rounds", "notes"),
    ev.NodePinned.KIND: ("tree",),
    ev.NodeUnpinned.KIND: ("tree",),
    ev.NodePruned.KIND: ("tree",),
    ev.NodeRestored.KIND: ("tree",),
    ev.NodeStarred.KIND: ("tree",),
    ev.NodeCommented.KIND: ("notes", "tree"),
    ev.NodeRerun.KIND: ("tree", "rounds"),
    ev.Injected.KIND: ("notes",),
    ev.PriorChanged.KIND: ("notes",),
    ev.NoiseMeasured.KIND: ("notes",),
    ev.PriorProposed.KIND: ("notes",),
    ev.PriorWarned.KIND: ("notes",),
    ev.CommandDone.KIND: ("status", "notes"),
    ev.ActUndone.KIND: ("notes", "tree", "status"),
    ev.EngineStarted.KIND: ("status", "rounds", "writing", "notes"),
    ev.RunForked.KIND: ("status", "rounds"),
    ev.PauseArmed.KIND: ("status", "notes"),
    ev.RunPaused.KIND: ("status", "rounds", "notes", "writing"),
    ev.RunResumed.KIND: ("status", "rounds", "writing"),
    ev.RunStopped.KIND: ("status", "rounds", "notes"),
    ev.RunFinished.KIND: ("status", "rounds", "notes"),
    ev.RunFailed.KIND: ("status", "rounds", "notes"),
    # New weights rank all nodes anew.
    ev.SettingsChanged.KIND: ("status", "tree", "scores"),
    ev.BudgetWarned.KIND: ("notes",),
    ev.StandstillBegan.KIND: ("status", "notes"),
    ev.StandstillActed.KIND: ("status", "notes"),
    ev.StandstillEnded.KIND: ("status", "notes"),
    ev.ClockStepped.KIND: ("status", "rounds", "notes"),
    ev.Telemetry.KIND: ("rates",),
}
