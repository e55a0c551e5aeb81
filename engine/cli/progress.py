"""Print a run's progress as lines of text, and build the JSON object that ends a headless run."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, is_alive
from engine.runs.prices import told_prices
from engine.runs.status import RunSummary, summary_now
from engine.settings.model import analyzes_by_model
from engine.state.armed import describe_armed
from engine.state.best_known import describe_claim
from engine.state.fold import apply, damage_named, first_state
from engine.state.gain import describe_check
from engine.state.run_state import RunState
from engine.state.standstill_told import standstill_line
from engine.state.trouble import trouble_key, trouble_line
from engine.task.spec import TaskSpec
from engine.text import counted, one_line

__all__ = ["ProgressLines", "best_path", "closing_object", "follow_run", "tell"]

_POLL_SECONDS = 0.1
_REASON_LENGTH = 800
_CLOCK_CELLS = len("0:00:00  ")
_MOST_OF_A_NAME = 60
_LEAST_OF_A_NAME = 16


class ProgressLines:
    """Print a line on stderr for each event that a person wants to know.

    Trouble that repeats itself is told once, then its number: after 10, 100, … times, and before the next other line.

    Args:
        run: the run, which the commands in a line name; without one they say RUN.
        quiet_until: print nothing for events up to this one, which happened before.
    """

    def __init__(self, run: Run | None = None, quiet_until: int = 0) -> None:
        self._run = run
        self._quiet_until = quiet_until
        self._clock = ""
        self._told: dict[tuple[object, ...], tuple[str, int]] = {}
        """Trouble told since the last other line: its line, and how often it came again."""

    def __call__(self, event: ev.Event, state: RunState) -> None:
        """Print the line of one event, if it has one."""
        if event.seq <= self._quiet_until:
            return
        trouble = trouble_line(event)
        line = trouble or self._line(event, state)
        if not line:
            return
        line = line if self._run is None else self._run.filled(line)
        elapsed = state.engine_ms // 1000
        clock = self._clock = f"{elapsed // 3600:d}:{elapsed // 60 % 60:02d}:{elapsed % 60:02d}"
        if not trouble:
            self.end()
        else:
            key = trouble_key(event)
            first, count = self._told.get(key, (line, -1))
            self._told[key] = first, count + 1
            if count >= 0:
                if not _is_milestone(count + 1):
                    return
                line = f"{count + 1} times more: {first}"
        tell(f"{clock}  {line}")

    def end(self) -> None:
        """Print how often trouble came again since that was last told; nothing of it is repeated."""
        for first, count in self._told.values():
            if not _is_milestone(count):
                tell(f"{self._clock}  {counted(count, 'time')} more: {first}")
        self._told.clear()

    def _line(self, event: ev.Event, state: RunState) -> str:
        match event.data:
            case ev.EngineStarted() as data:
                started = (
                    f"engine started: {counted(data.workers, 'worker')}, {counted(data.slots, 'slot')}, "
                    f"designer {_designer(data, state)}, sandbox {data.sandbox}, {data.guarantee}"
                )
                if state.seed_known:
                    started += ", seed known"
                for told in told_prices(state.settings):
                    started += f"; prices of {one_line(told, 300)}"
                if data.unconfined:
                    started += f": {one_line(data.unconfined, 600)}"
                return "; missing: ".join([started, *(one_line(lack, 400) for lack in data.missing)])
            case ev.RunForked() as data:
                return f"forked from {one_line(data.parent, 200)} at event {data.at_seq}"
            case ev.TaskChanged() as data:
                return _task_line(data)
            case ev.EvalDone() if event.node is not None and _has_lesson_later(state, event.node):
                node = state.nodes[event.node]
                shown = node.status if node.score is None else state.ranking.describe(node)
                return (
                    f"#{node.id} {shown} {node.seconds:.1f} s, its lesson comes  {one_line(node.name, _MOST_OF_A_NAME)}"
                )
            case ev.AnalyzeDone() if event.node is not None:
                return _node_line(state, event.node)
            case ev.PromptsShortened() as data:
                return f"{one_line(data.model, 60)} gets short prompts from now on: {one_line(data.reason, 200)}"
            case ev.PauseArmed() as data if data.at:
                return f"pauses {describe_armed(data)}"
            case ev.RunPaused() as data:
                told = f": {one_line(data.reason, _REASON_LENGTH)}" if data.reason else ""
                return "paused" + (", evaluations frozen" if data.now else "") + told
            case ev.RunResumed():
                return "resumed"
            case ev.PriorChanged() as data:
                revision = f", revision {data.number}" if data.number else ""
                return f"prior {data.change}: {one_line(data.id, 60)}{revision}"
            case ev.PriorWarned() as data:
                return f"priors: {one_line('; '.join(data.problems), 400) or 'no problem is left'}"
            case ev.PriorProposed() as data:
                return (
                    f"prior proposed: {one_line(data.title, 100)} ('evolve priors list' shows it, accept or reject it)"
                )
            case ev.NoiseMeasured() as data:
                return one_line(data.note, _REASON_LENGTH)
            case ev.StandstillBegan() | ev.StandstillActed() | ev.StandstillEnded():
                return standstill_line(event)
            case ev.EvalLost() as data:
                where = f" on {one_line(data.host, 60)}" if data.host else ""
                return f"#{event.node} lost{where}, to be tried again: {one_line(data.reason, _REASON_LENGTH)}"
            case ev.VerifyStarted() as data if not data.asked:
                beside = f", beside #{data.reference}" if data.reference is not None else ""
                return f"#{event.node} may be a new best: measured on fresh data{beside}"
            case ev.VerifyDone() as data if data.outcome != "confirmed" and not data.asked:
                return f"#{event.node} is no new best: {one_line(describe_check(data), _REASON_LENGTH)}"
            case ev.BestCrowned() as data:
                told = f"best #{event.node} {one_line(data.machines, _REASON_LENGTH)}" if data.machines else ""
                return "; ".join(filter(None, (told, describe_claim(state))))
            case ev.BudgetWarned() as data:
                return f"{data.share:.0%} of the {data.budget} are used: {data.spent:.4g} of {data.limit:g}"
            case ev.SettingsChanged() as data:
                return f"set {one_line(str(data.settings), 120)}"
            case ev.RunFinished() | ev.RunStopped() | ev.RunFailed() as data:
                return f"{state.status}: {one_line(data.reason, _REASON_LENGTH)}"
        return ""


def _is_milestone(count: int) -> bool:
    """Return whether a number of repetitions is told at once: 10, 100, …; none is told as nothing."""
    return count == 0 or (count >= 10 and str(count).strip("0") == "1")


def _task_line(data: ev.TaskChanged) -> str:
    if data.adopted:
        return f"task replaced: {one_line(', '.join(data.files), 200) or 'no file differs'}; nodes keep their scores"
    if not data.files:
        return "task: its folder is as recorded again"
    told = ", ".join(f"{path} {what}" for path, what in data.files.items())
    return f"task changed on the disk: {one_line(told, 200)}; the recorded copy goes on ('resume --task' takes it)"


def _has_lesson_later(state: RunState, node: int) -> bool:
    """Return whether a model reports on a node beside the rounds, so that its line comes much later."""
    settings = state.settings
    beside = settings.analyzer.ahead or settings.analyzer.batch > 1
    return beside and analyzes_by_model(settings) and not state.nodes[node].analyzed


def tell(line: str) -> None:
    """Print a line on stderr; a closed stderr never ends a run."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _node_line(state: RunState, node_id: int) -> str:
    node = state.nodes[node_id]
    best = state.best_node
    told = node.status if node.score is None else state.ranking.describe(node)
    doubt = "quarantined" if node.quarantined else "gain not confirmed" if node.doubted else ""
    told = ", ".join(filter(None, (told, doubt or ("breaks a constraint" if node.broken else ""))))
    star = "*" if best is node else " "
    top = f"best {state.ranking.describe(best)} #{best.id}" if best is not None else "no best yet"
    rounds = f"{state.rounds_done + (node.round > 0)}/{state.settings.rounds} rounds"
    start, end = f"{rounds}  #{node.id} {told}{star} {node.seconds:.1f} s  ", f"  ({top})"
    length = _MOST_OF_A_NAME
    if sys.stderr.isatty():
        room = shutil.get_terminal_size().columns - len(start) - len(end) - _CLOCK_CELLS
        length = max(_LEAST_OF_A_NAME, min(length, room))
    return start + one_line(node.name, length) + end


def closing_object(state: RunState, summary: RunSummary) -> dict[str, Any]:
    """Return the object that `run --headless --json` prints at the end."""
    return {
        "run": summary["run"],
        "status": summary["status"],
        "reason": summary["reason"],
        "rounds": summary["rounds"],
        "nodes": summary["nodes"],
        "best": summary["best"],
        "seconds": round(state.engine_ms / 1000, 3),
    }


def follow_run(run: Run, waits: bool = False) -> tuple[RunState, RunSummary]:
    """Print a run's progress until it ends or its engine is gone; return its state and summary.

    Args:
        run: the run's folder.
        waits: keep following a run that is paused until a person adds material for new designs.

    Raises:
        JournalError: the journal cannot be read.
    """
    with JournalReader(run.db) as reader:
        state = first_state(reader)
        lines = ProgressLines(run, reader.last_seq())
        while True:
            alive = is_alive(run)
            # Read after the lock was checked, so that the last events of a dying engine are not missed.
            if reader.changed() or not alive:
                with damage_named(reader.path):
                    for event in reader.events(after=state.seq):
                        apply(state, event)
                        lines(event, state)
            # Return only when the engine is gone, so that a waiting script may start the next run.
            if not alive or (state.waits_for_person and not waits):
                lines.end()
                return state, summary_now(run, state)
            time.sleep(_POLL_SECONDS)


def best_path(run: Run, spec: TaskSpec) -> Path:
    """Return the path at which a headless run leaves its best program."""
    return run.folder / ("best" if spec.program.files else spec.language.file("best"))


def _designer(data: ev.EngineStarted, state: RunState) -> str:
    """Return who designs; of a command also what it may."""
    if data.designer != "command":
        return data.designer
    command = state.settings.command
    network = "with the network OPEN to it" if command.network else "without network"
    return f"command ({one_line(command.label, 40)}, {network})"
