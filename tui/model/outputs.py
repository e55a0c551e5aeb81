"""What running evaluations print, from the journal's ring of live rows, and the values that they report."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.journal.events import EvalProgress, Event
from engine.journal.live import LIVE_OUTPUT, LiveRow
from engine.state.node import NodeEvaluation

__all__ = ["Output", "RunningCurve", "Watched", "take_outputs"]

_KEPT = 64_000
"""Characters of each stream that are kept."""
_MOST_POINTS = 2_000
"""Reports of a running evaluation that are kept; beyond that every other one is dropped."""


@dataclass
class Output:
    """What an evaluation has printed so far."""

    stage: str
    repeat: int
    streams: dict[str, str] = field(default_factory=dict)
    """The end of each stream, `stdout` and `stderr`."""


@dataclass(frozen=True)
class Watched:
    """A running evaluation at one moment."""

    stage: str
    repeat: int
    started_at: int
    """When it began, in milliseconds."""
    streams: Mapping[str, str]
    """What it has printed, by stream."""
    is_live: bool = True
    """Whether that is known before its end."""


def take_outputs(
    outputs: dict[int, Output], rows: Iterable[LiveRow], evaluations: Mapping[int, NodeEvaluation]
) -> bool:
    """Add what running evaluations have printed, by node; return whether there was any."""
    taken = False
    for row in rows:
        if row.kind != LIVE_OUTPUT:
            continue
        node, stage, repeat, stream, text = (
            row.data.get(name) for name in ("node", "stage", "repeat", "stream", "text")
        )
        if not (isinstance(node, int) and isinstance(text, str) and stream in ("stdout", "stderr")):
            continue
        evaluation = evaluations.get(node)
        running = evaluation.running if evaluation is not None else None
        if evaluation is None or running is None or (running.stage, running.repeat) != (stage, repeat):
            continue
        if row.at < evaluation.started_at:
            continue  # of an earlier measurement of the same stage
        output = outputs.get(node)
        if output is None or (output.stage, output.repeat) != (running.stage, running.repeat):
            output = outputs[node] = Output(running.stage, running.repeat)
        left_out = row.data.get("left_out")
        gap = f"\n… {left_out:,} bytes left out …\n" if isinstance(left_out, int) and left_out > 0 else ""
        output.streams[stream] = (output.streams.get(stream, "") + gap + text)[-_KEPT:]
        taken = True
    return taken


class RunningCurve:
    """The reports of one running evaluation. Any thread may extend it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: tuple[int, str, int, int] | None = None
        self._points: list[tuple[int, float | None, dict[str, float]]] = []
        self._seq = 0

    def follow(self, node: int, stage: str, repeat: int, started_at: int) -> int:
        """Forget the reports of any other evaluation; return the last event that is known."""
        with self._lock:
            if self._of != (node, stage, repeat, started_at):
                self._of = node, stage, repeat, started_at
                self._points, self._seq = [], 0
            return self._seq

    def extend(self, events: Iterable[Event]) -> None:
        """Add reports, in the order of their events; those of other evaluations and known ones are passed over."""
        with self._lock:
            if self._of is None:
                return
            node, stage, repeat, started_at = self._of
            for event in events:
                data = event.data
                if event.seq <= self._seq or event.node != node or not isinstance(data, EvalProgress):
                    continue
                self._seq = event.seq
                if (data.stage, data.repeat) == (stage, repeat) and event.at >= started_at:
                    self._points.append((event.seq, data.step, data.values))
            if len(self._points) > _MOST_POINTS:
                # The newest stays.
                self._points = self._points[(len(self._points) + 1) % 2 :: 2]

    def points(self, upto: int) -> tuple[tuple[float | None, dict[str, float]], ...]:
        """Return step and values of each report that is kept, up to an event."""
        with self._lock:
            return tuple((step, values) for seq, step, values in self._points if seq <= upto)
