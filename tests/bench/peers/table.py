"""Rows and a table of what the systems cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.peers.measure import Costs, Loss

__all__ = ["matrix", "rows_of"]

_FIGURES = [
    # field, what it is, its unit
    ("cpu_ms", "CPU a round, all processes", "ms"),
    ("main_ms", "CPU a round, main process", "ms"),
    ("wall_ms", "wall clock a round", "ms"),
    ("growth", "last tenth of the rounds over the first, CPU of all", "×"),
    ("main_growth", "the same, CPU of the main process", "×"),
    ("calls", "calls of the model a round", ""),
    ("tokens", "tokens of prompts a round", ""),
    ("disk_kb", "files at the end, by round", "KB"),
    ("written_kb", "written to storage, by round", "KB"),
    ("memory_mb", "most memory of the main process", "MB"),
    ("start_s", "command to first evaluation", "s"),
    ("kept", "programs that the files hold at the end", "%"),
]
_OF_ALL = {"cpu_ms", "growth"}
_AIMS = {"ours guarded": "≤ 1.0×", "ours open": "≤ 0.7×"}
_AIM_BESIDE = "openevolve subprocess"


def rows_of(costs: Mapping[str, Sequence[Costs]], losses: Mapping[str, Loss]) -> list[dict[str, Any]]:
    """Return a row for each figure of each system.

    `value` is the median of the runs in `runs`, or None if it could not be measured. `ratio` is to the value of the
    first peer, or of ours without one; None for that one itself.

    Args:
        costs: what the runs of each system cost, by its name.
        losses: what a kill cost each.
    """
    reference = next((name for name in costs if not name.startswith("ours")), next(iter(costs)))
    rows = []
    for field, what, unit in _FIGURES:
        scale = 100.0 if unit == "%" else 1.0
        runs = {name: [_scaled(getattr(cost, field), scale) for cost in each] for name, each in costs.items()}
        values = {name: _median(each) for name, each in runs.items()}
        for name in costs:
            aim = _AIMS.get(name, "") if field == "cpu_ms" and reference == _AIM_BESIDE else ""
            ratio = None if name == reference else _ratio(values[name], values[reference])
            note = f"counted by {costs[name][0].counted_by}" if field in _OF_ALL else ""
            rows.append(_row(what, name, values[name], unit, aim, note, ratio, runs[name]))
    for name, loss in losses.items():
        note = f"of {loss.measured} rounds measured"
        rows.append(_row("rounds lost by a SIGKILL", name, float(loss.lost), "", "", note, None, [float(loss.lost)]))
    return rows


def matrix(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the lines of a table with a column for each system."""
    names = list(dict.fromkeys(row["side"] for row in rows))
    lines: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault(row["name"], {})[row["side"]] = row
    body = []
    for what, cells in lines.items():
        each = [cells[name] for name in names]
        aims = [f"{row['side']} {row['budget']}" for row in each if row["budget"]]
        unit = each[0]["unit"]
        spread = max(_spread(row["runs"]) for row in each)
        body.append([
            what, unit, *(_cell(row) for row in each), f"{spread:.0%}" if len(each[0]["runs"]) > 1 else "-",
            ", ".join(aims),
        ])  # fmt: skip
    return ["what", "unit", *names, "spread", "aim"], body


def _row(
    what: str, side: str, value: float | None, unit: str, aim: str, note: str, ratio: float | None,
    runs: list[float | None],
) -> dict[str, Any]:  # fmt: skip
    return {
        "name": what, "side": side, "value": value, "unit": unit, "budget": aim, "note": note, "ratio": ratio,
        "runs": runs,
    }  # fmt: skip


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _ratio(value: float | None, reference: float | None) -> float | None:
    return None if value is None or not reference else value / reference


def _spread(values: Sequence[float | None]) -> float:
    """Return the distance of the largest from the smallest, as a share of the median."""
    known = [value for value in values if value is not None]
    middle = _median(known)
    return (max(known) - min(known)) / abs(middle) if middle else 0.0


def _cell(row: Mapping[str, Any]) -> str:
    value, ratio = row["value"], row["ratio"]
    if value is None:
        return "-"
    if row["note"].startswith("of "):
        return f"{value:.0f} {row['note'].removesuffix(' rounds measured')}"
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return text if ratio is None else f"{text} ({ratio:.2f}×)"
