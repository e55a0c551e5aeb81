"""Documents that compare runs: curves in one plot, figures, settings that differ, programs."""

from __future__ import annotations

from collections.abc import Sequence

from engine.runs.compare import (
    AXES,
    Axis,
    ComparedRun,
    best_at,
    common_ranking,
    differing,
    doubts,
    extent,
    shared_places,
)
from engine.state.ranking import Ranking
from tui.model.braille import DOT_COLUMNS, DOT_ROWS, Canvas
from tui.model.document import Line, Look, Span, clean_line, diff_lines, table_lines, text_lines
from tui.model.labels import cut_middle, score_text, short_score

__all__ = ["AXIS_NAMES", "MOST_RUNS", "TABS", "compare_document"]

TABS = ("Curves", "Figures", "Settings", "Programs")
AXIS_NAMES: dict[Axis, str] = {"rounds": "rounds", "usd": "dollars", "tokens": "tokens", "seconds": "engine time in s"}

_LOOKS: tuple[Look, ...] = ("accent", "best", "ok", "bad", "keyword", "number")
MOST_RUNS = len(_LOOKS)
_AXIS = 10


def compare_document(runs: Sequence[ComparedRun], tab: str, axis: Axis, width: int, height: int) -> list[Line]:
    """Return the document of one of `TABS`.

    Args:
        runs: at least one, at most `MOST_RUNS`.
        tab: the document's name.
        axis: the x axis of the curves.
        width: cells across.
        height: visible rows, which the plot fills.
    """
    if tab == "Curves":
        return _curves(runs, axis, width, height)
    if tab == "Figures":
        return _figures(runs, axis)
    return _settings(runs) if tab == "Settings" else _programs(runs)


def _letter(index: int) -> str:
    return chr(ord("a") + index)


def _legend(runs: Sequence[ComparedRun], width: int) -> list[Line]:
    lines: list[Line] = []
    for index, run in enumerate(runs):
        best = f"{run.ranking.describe(run.best)} #{run.best.node}" if run.best else "no score"
        name = cut_middle(clean_line(run.run.name), max(8, width - (66 if run.ranking.by_fitness else 50)))
        lines.append((Span(f" {_letter(index)} {name}", _LOOKS[index]), Span(f"  {best}, {run.rounds} rounds", "dim")))
    lines += [(Span(f" {doubt}", "bad"),) for doubt in doubts(runs)]
    return lines


def _curves(runs: Sequence[ComparedRun], axis: Axis, width: int, height: int) -> list[Line]:
    legend = _legend(runs, width)
    rows, columns = max(4, height - len(legend) - 3), max(10, width - _AXIS - 3)
    whole = max(extent(run, axis) for run in runs)
    ranking = common_ranking(runs)
    values = [[ranking.of(step) for step in run.steps] for run in runs]
    known = [value for row in values for value in row if value is not None]
    if not known:
        return [*legend, (), (Span(" no node has a score yet", "dim"),)]
    if not whole:
        return [*legend, (), (Span(f" nothing to align by {AXIS_NAMES[axis]}: a uses another axis", "dim"),)]
    low, high = _span(values, known)
    worst, best = (low, high) if ranking.maximize else (high, low)
    canvases = [Canvas(columns, rows) for _ in runs]
    letters: dict[tuple[int, int], int] = {}

    def y(value: float) -> int:
        # The share of a value far outside of a tiny span is infinite.
        share = min(1.0, max(0.0, (best - value) / ((best - worst) or 1)))
        return int(share * (rows * DOT_ROWS - 1))

    def x(place: float) -> int:
        return int(place / whole * (columns * DOT_COLUMNS - 1))

    for index, run in enumerate(runs):
        before = last = None
        for number, (step, value) in enumerate(zip(run.steps, values[index], strict=True)):
            if value is None:
                before = None
                continue
            until = run.steps[number + 1] if number + 1 < len(run.steps) else None
            start, level = x(getattr(step, axis)), y(value)
            end = x(getattr(until, axis)) if until is not None else x(extent(run, axis))
            if before is not None:
                canvases[index].column(start, min(before, level), max(before, level))
            for place in range(start, end + 1):
                canvases[index].dot(place, level)
            before = last = level
        if last is not None:
            # A letter at the end of each curve distinguishes the runs without colours.
            row, end = last // DOT_ROWS, x(extent(run, axis)) // DOT_COLUMNS
            # If another run ends here too, go to the left of its letter, at the left edge to the right.
            free = (
                column for column in (*range(end, -1, -1), *range(end + 1, columns)) if (row, column) not in letters
            )
            letters[(row, next(free, end))] = index
    lines: list[Line] = [*legend, ()]
    for row in range(rows):
        label = short_score(best) if row == 0 else short_score(worst) if row == rows - 1 else ""
        lines.append((Span(f"{label:>{_AXIS - 1}} │", "dim"), *_row(canvases, letters, row)))
    right = f"{whole:,.6g} {AXIS_NAMES[axis]}"
    lines.append((Span(f"{'':>{_AXIS}}0{right:>{columns - 1}}", "dim"),))
    return lines


def _span(values: Sequence[Sequence[float | None]], known: list[float]) -> tuple[float, float]:
    """Return the range to draw, without outliers among the first steps, which would flatten the rest."""
    later = [value for row in values for value in row[len(row) // 3 :] if value is not None] or known
    low, high = min(later), max(later)
    pad = (high - low) * 0.05 or abs(high) * 0.01 or 1.0
    return max(min(known), low - pad), min(max(known), high + pad)


def _row(canvases: Sequence[Canvas], letters: dict[tuple[int, int], int], row: int) -> list[Span]:
    spans: list[Span] = []
    for column in range(canvases[0].width):
        cells = [canvas.cells[row][column] for canvas in canvases]
        # Curves that coincide take turns, two cells each, so that none hides another.
        owners = [index for index, cell in enumerate(cells) if cell] or [0]
        owner = owners[column // 2 % len(owners)]
        bits = 0
        for cell in cells:
            bits |= cell
        text, look = (chr(0x2800 + bits) if bits else " "), _LOOKS[owner]
        if (row, column) in letters:
            owner = letters[(row, column)]
            text, look = _letter(owner), _LOOKS[owner]
        if spans and (spans[-1].look == look or not text.strip()):
            spans[-1] = Span(spans[-1].text + text, spans[-1].look)
        else:
            spans.append(Span(text, look))
    return spans


def _figures(runs: Sequence[ComparedRun], axis: Axis) -> list[Line]:
    heads = [_head(index, run) for index, run in enumerate(runs)]
    rows: list[tuple[str, ...]] = []

    def add(name: str, values: Sequence[object]) -> None:
        rows.append((name, *(str(value) for value in values)))

    if any(run.ranking.by_fitness for run in runs):
        add("best fitness", [_fitness(run) for run in runs])
        add("its score", [score_text(run.best.score) if run.best else "–" for run in runs])
    else:
        add("best", [score_text(run.best.score) if run.best else "–" for run in runs])
    add("best node", [f"#{run.best.node}" if run.best else "–" for run in runs])
    add("found after rounds", [run.best.rounds if run.best else "–" for run in runs])
    add("improvements", [max(0, len(run.steps) - 1) for run in runs])
    add("generations to the best", [run.generations for run in runs])
    add("rounds", [run.rounds for run in runs])
    add("nodes", [run.nodes for run in runs])
    add("failed", [run.failed for run in runs])
    add("tokens", [f"{run.tokens:,}" for run in runs])
    add("dollars", [f"{run.usd:.2f}" for run in runs])
    add("engine time", [f"{run.seconds:,.0f} s" for run in runs])
    add("status", [run.status for run in runs])
    add("task", [run.task for run in runs])
    lines = table_lines(("", *heads), rows)
    ranking = common_ranking(runs)
    for by in (axis, *(other for other in AXES if other != axis)):
        places = shared_places(runs, by)
        if places:
            lines += [(), (Span(f"best{' fitness (score)' * ranking.by_fitness} by {AXIS_NAMES[by]}", "heading"),)]
            shown = [(f"{place:,.6g}", *(_at(run, ranking, by, place) for run in runs)) for place in places]
            lines += table_lines((AXIS_NAMES[by], *heads), shown)
    return lines


def _fitness(run: ComparedRun) -> str:
    if run.best is None or run.best.fitness is None or not run.ranking.by_fitness:
        return "–"
    return score_text(run.best.fitness)


def _at(run: ComparedRun, ranking: Ranking, axis: Axis, place: float) -> str:
    step = best_at(run, axis, place)
    if step is None:
        return "–"
    if not ranking.by_fitness:
        return score_text(step.score)
    return f"{'–' if step.fitness is None else score_text(step.fitness)} ({step.score:.6g})"


def _head(index: int, run: ComparedRun) -> str:
    return f"{_letter(index)} {cut_middle(clean_line(run.run.name), 18)}"


def _settings(runs: Sequence[ComparedRun]) -> list[Line]:
    found = differing(runs)
    if not found:
        return text_lines("all settings are the same", "dim")
    heads = [_head(index, run) for index, run in enumerate(runs)]
    rows = [(key, *("–" if value is None else str(value) for value in values)) for key, values in found.items()]
    return [(Span("settings that differ", "heading"),), *table_lines(("setting", *heads), rows)]


def _programs(runs: Sequence[ComparedRun]) -> list[Line]:
    """Return the differences between the first run's best program and the other ones."""
    first, lines = runs[0], list[Line]()
    for index, run in enumerate(runs[1:], 1):
        if first.best is None or run.best is None:
            lines += text_lines("without a score there is no best program to compare", "dim")
            continue
        names = [
            f"{_letter(place)} {item.run.name} #{item.best.node}  {item.ranking.describe(item.best)}"
            for place, item in ((0, first), (index, run))
            if item.best is not None
        ]
        lines += [*diff_lines(first.program, run.program, *names), ()]
    return lines
