"""What every worker does: one line for each open round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from engine.journal.events import CallStarted, EvalStarted, Event
from engine.settings.model import analyzes_by_model
from engine.state.node import OpenRound
from engine.state.run_state import RunState
from engine.state.submissions import name_of_evaluation
from engine.text import one_line
from tui.model.streams import Stream, amount, rate, waits

__all__ = ["WorkLine", "work_lines", "worker_limit"]


_NOBODY = 1 << 16
"""Reruns have no worker and come last."""


class WorkLine(NamedTuple):
    """The activity of one worker."""

    worker: int
    """Number of the worker; `_NOBODY` for a rerun."""
    round: int
    phase: str
    detail: str
    since: int
    """When this started, in milliseconds; the widget draws the elapsed time."""
    busy: bool = True
    """Whether a worker is busy with it; not with a rerun, nor with anything that waits for the end of a pause."""


def work_lines(state: RunState, streams: Mapping[int, Stream] | None = None, now: int | None = None) -> list[WorkLine]:
    """Return the open rounds by worker; none if no engine can be at work on them.

    Args:
        state: the run.
        streams: answers that models are writing.
        now: the time, in milliseconds; None if it stands still.
    """
    if state.status not in ("running", "paused"):
        return []
    asked = {event.round: event for event in state.calls.values()}
    lines = []
    for item in state.open_rounds.values():
        line = _line(state, item)._replace(busy=_is_busy(state, item))
        call = asked.get(item.round)
        lines.append(line if call is None else _with_call(line, call, streams or {}, now))
    lines += [
        WorkLine(
            _NOBODY,
            state.nodes[node].round,
            "rerun",
            f"#{node} {one_line(state.nodes[node].name, 40)}",
            item.started_at,
            busy=False,
        )
        for node, item in state.evaluations.items()
        if item.rerun is not None
    ]
    return sorted(lines, key=lambda line: (line.worker, line.round))


def worker_limit(state: RunState) -> int:
    """Return how many rounds may be open by the current settings."""
    slots = state.settings.slots or (state.engine.slots if state.engine is not None else 0)
    return state.settings.workers or slots + 2


def _is_busy(state: RunState, item: OpenRound) -> bool:
    """Return whether a round keeps a worker busy: not for its lesson; in a paused run only started evaluations do."""
    if _has_lesson_alone(state, item):
        return False
    if state.status != "paused":
        return True
    evaluation = state.evaluations.get(item.node) if item.node is not None else None
    return not state.frozen and evaluation is not None and evaluation.running is not None


def _has_lesson_alone(state: RunState, item: OpenRound) -> bool:
    """Return whether a lesson that is written beside the rounds is all that a round misses."""
    if not (state.settings.analyzer.ahead and analyzes_by_model(state.settings)):
        return False
    if item.round == 0:
        return bool(state.nodes) and not any(state.nodes[node].round == 0 for node in state.evaluations)
    return state.phase(item) == "analyze"


def _line(state: RunState, item: OpenRound) -> WorkLine:
    phase = state.phase(item)
    since = item.started_at
    detail = ""
    if item.round == 0 and item.node is None:
        return WorkLine(item.worker, 0, "lesson" if _has_lesson_alone(state, item) else "seeds", "", since)
    if phase == "inject":
        detail = one_line(item.injected.name, 40) if item.injected is not None else ""
    elif phase == "design":
        parent = f"from #{item.learned.parent}" if item.learned is not None else ""
        tries = f", attempt {len(item.rejected) + 1} ({item.rejected[-1].check})" if item.rejected else ""
        detail = parent + tries
    elif item.node is not None:
        node = state.nodes[item.node]
        name = one_line(node.name, 120)
        detail = f"#{node.id} {name}"
        evaluation = state.evaluations.get(item.node)
        if phase == "experiment" and evaluation is not None:
            since = evaluation.started_at or since
            if item.node in state.verifications:
                return WorkLine(item.worker, item.round, "verify", f"#{node.id} on fresh data  {name}", since)
            if evaluation.running is None:
                detail = f"#{node.id} waits for a slot  {name}"
            else:
                repeat = f" #{evaluation.running.repeat + 1}" if evaluation.running.repeat else ""
                phase_shown = f"{evaluation.running.stage}{repeat}"
                name = f"on {one_line(evaluation.host, 24)}  {name}" if evaluation.host else name
                if not evaluation.host and _waits_for_machine(state, item.node, evaluation.running):
                    name = f"waits for a machine  {name}"
                # Progress stands before the name, since a narrow panel cuts the end.
                detail = f"#{node.id} {_progress(evaluation.progress)}{name}"
                return WorkLine(item.worker, item.round, phase_shown, detail, since)
    return WorkLine(item.worker, item.round, phase, detail, since)


def _waits_for_machine(state: RunState, node: int, running: EvalStarted) -> bool:
    """Return whether an evaluation is submitted to a cluster that has not placed it yet."""
    submitted = state.submitted.get(name_of_evaluation(node, running.stage, running.repeat))
    return submitted is not None and not submitted.host


def _with_call(line: WorkLine, event: Event, streams: Mapping[int, Stream], now: int | None) -> WorkLine:
    """Return the line with the progress of the model's answer."""
    data = event.data
    assert isinstance(data, CallStarted)
    stream = streams.get(data.call)
    writes = stream is not None and stream.chars
    if stream is not None and waits(stream, now):
        return line._replace(
            detail=f"waits, try {stream.number} of {stream.tries}  {line.detail}".rstrip(), since=event.at
        )
    doing = (
        f"{amount(stream)} {rate(stream)}".rstrip()
        if stream and writes
        else "works"
        if data.command
        else _reads(data.tokens)
    )
    who = f"{one_line(data.role, 16)} {one_line(data.model, 24)}"
    return line._replace(detail=f"{doing} {who}  {line.detail}".rstrip(), since=event.at)


def _reads(tokens: int) -> str:
    return f"reads {tokens:,} tok" if tokens else "waits"


def _progress(progress: object) -> str:
    step = getattr(progress, "step", None)
    values = getattr(progress, "values", {})
    shown = f"step {step:g} " if step is not None else ""
    for name, value in list(values.items())[:2]:
        shown += f"{one_line(name, 16)} {value:.4g} "
    return f"{shown} " if shown else ""
