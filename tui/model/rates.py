"""Rows of a panel: rates that evaluations report, compared with the seed's, and the load of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.journal.events import Telemetry
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import one_line
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas

__all__ = ["RATE_SUFFIX", "Measured", "device_rows", "numbers_of", "rate_rows", "rates_of"]

RATE_SUFFIX = "_per_s"
"""Endings of the names of rates: `tokens_per_s`."""

_NUMBERS = (float, int)
"""The types of what JSON calls a number. `int | float` would be made anew for each value."""
_MOST_RATES = 3
_SPARK = 16

Piece = tuple[str, str]


class Measured(NamedTuple):
    """A rate of one node."""

    node: int
    value: float


def numbers_of(metrics: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers among metrics or reported values."""
    return {
        name: float(value) for name, value in metrics.items() if isinstance(value, _NUMBERS) and type(value) is not bool
    }


def rates_of(metrics: Mapping[str, object]) -> dict[str, float]:
    """Return the rates among metrics or reported values."""
    return {name: value for name, value in numbers_of(metrics).items() if name.endswith(RATE_SUFFIX)}


def rate_rows(state: RunState, rates: dict[str, list[Measured]]) -> list[list[Piece]]:
    """Return two rows for each rate: the best node's with its history, then the current or last one.

    Args:
        state: the run.
        rates: by name, the rate of every node, in the order of their evaluations.
    """
    rows: list[list[Piece]] = []
    running = _running(state)
    for name, history in list(rates.items())[:_MOST_RATES]:
        seed = history[0].value
        shown = one_line(name, 18)
        best = _of(state.best_node, name)
        first: list[Piece] = [(f" {shown:<18} ", "heading")]
        if best is not None:
            first += [
                (f"{short_rate(best.value):>7} ", "best"),
                (f"best #{best.node} {_times(best.value, seed)}", "dim"),
            ]
        rows.append(first)
        now = running.get(name, history[-1])
        word = "now" if name in running else "last"
        rows.append(
            [
                (f" {_spark([item.value for item in history[-_SPARK * DOT_COLUMNS :]]):<{_SPARK}}   ", "accent"),
                (f"{short_rate(now.value):>7} ", "plain"),
                (f"{word} #{now.node} {_times(now.value, seed)}", "dim"),
            ]
        )
    return rows


def _running(state: RunState) -> dict[str, Measured]:
    """Return rates that running evaluations have reported."""
    found: dict[str, Measured] = {}
    for node, evaluation in state.evaluations.items():
        if evaluation.progress is not None:
            found |= {name: Measured(node, value) for name, value in rates_of(evaluation.progress.values).items()}
    return found


def _of(node: Node | None, name: str) -> Measured | None:
    value = rates_of(node.metrics).get(name) if node is not None else None
    return None if node is None or value is None else Measured(node.id, value)


def _times(value: float, seed: float) -> str:
    return f"{value / seed:.2f}× seed" if seed > 0 else ""


def short_rate(value: float) -> str:
    """Return a rate in few characters, seven if its size is ordinary."""
    for size, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        # What rounds to a thousand has the next sign.
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{sign}" if abs(value) < 1e15 else f"{value:.1e}"
    return f"{value:.3g}"


def _spark(values: Sequence[float]) -> str:
    """Return a row of columns, scaled between zero and the highest value."""
    canvas = Canvas(_SPARK, 1)
    high = max(values, default=0.0)
    for x, value in enumerate(values):
        if high > 0 and value > 0:
            canvas.column(x, DOT_ROWS - max(1, round(value / high * DOT_ROWS)), DOT_ROWS - 1)
    return canvas.text(0)


def device_rows(state: RunState, telemetry: Telemetry | None) -> list[list[Piece]]:
    """Return two rows for each GPU, then one for the processors; none without telemetry."""
    if telemetry is None:
        return []
    rows: list[list[Piece]] = []
    values = telemetry.values
    for index, name in enumerate(telemetry.devices):
        rows += _gpu_rows(index, name, values, state.best_node)
    parts = []
    if "cpu" in values:
        parts.append(f"{values['cpu']:.0%} of {values.get('cores', 0):.0f} cores")
    if "load" in values:
        parts.append(f"load {values['load']:.1f}")
    if "mem_mb" in values:
        parts.append(f"{_gib(values, 'mem_used_mb')}/{_gib(values, 'mem_mb')} GiB")
    if parts:
        rows.append([(" CPU  ", "heading"), ("  ".join(parts), "plain")])
    return rows


def _gpu_rows(index: int, name: str, values: dict[str, float], best: Node | None) -> list[list[Piece]]:
    key = f"gpu{index}"
    parts = []
    if f"{key}.util" in values:
        parts.append(f"{values[f'{key}.util']:.0%} busy")
    if f"{key}.mem_mb" in values:
        parts.append(f"{_gib(values, f'{key}.mem_used_mb')}/{_gib(values, f'{key}.mem_mb')} GiB")
    if f"{key}.power_w" in values:
        limit = values.get(f"{key}.power_limit_w")
        parts.append(f"{values[f'{key}.power_w']:.0f}{f'/{limit:.0f}' if limit else ''} W")
    if f"{key}.celsius" in values:
        parts.append(f"{values[f'{key}.celsius']:.0f} °C")
    rows: list[list[Piece]] = [[(f" GPU {index} ", "heading"), ("  ".join(parts), "plain")]]
    peaks = []
    for peak, metric, unit in (("peak_tflops", "tflops", "TFLOP/s"), ("peak_gbs", "gbs", "GB/s")):
        whole = values.get(f"{key}.{peak}")
        if whole:
            reached = best.metrics.get(metric) if best is not None else None
            share = f" (best {reached / whole:.0%})" if isinstance(reached, int | float) else ""
            peaks.append(f"{whole:,.0f} {unit}{share}")
    rows.append([(f"   {one_line(name, 24)}", "dim"), (f"  peak {', '.join(peaks)}" if peaks else "", "dim")])
    return rows


def _gib(values: dict[str, float], name: str) -> str:
    return f"{values.get(name, 0.0) / 1024:.1f}"
