"""The status line: what a user must always know about a run, in cells of fixed width."""

from __future__ import annotations

from typing import NamedTuple

from engine.state.node import Node
from engine.state.ranking import Ranking
from engine.state.standstill_told import standstill_cell
from engine.state.trouble import in_vain
from engine.text import one_line
from tui.model.labels import age, cut_middle
from tui.model.rates import short_rate
from tui.model.run_model import RunModel

__all__ = ["STATUS_LOOKS", "Cell", "status_cells"]

STATUS_LOOKS = {
    "running": "ok",
    "paused": "best",
    "finished": "accent",
    "stopped": "dim",
    "failed": "bad",
    "dead": "bad",
}


class Cell(NamedTuple):
    """A piece of the status line that keeps its place."""

    text: str
    width: int
    """Its fixed width in cells; a longer text is cut."""
    look: str = "bar"


_ROOMY = 180
"""Cells from which on budget and task have room for their longest words."""


def status_cells(
    name: str, model: RunModel | None, status: str, waiting: str, trouble: str, now: int | None, width: int
) -> list[Cell]:
    """Return the cells for a line of some width; drop the least important first.

    Args:
        name: the run's name.
        model: the run; None while it is being opened.
        status: its status.
        waiting: the label of an unanswered command, shown in place of the status.
        trouble: why the run cannot be read.
        now: the time to measure the age of the last event against; None leaves the age out.
        width: cells in all.
    """
    sign = {"running": "●", "paused": "‖", "dead": "✗", "failed": "✗"}.get(status, "■")
    # A pause that is to come has the sign of one behind the status.
    later = " ‖" if status == "running" and model is not None and model.state.armed is not None else ""
    cells = [
        _name_cell(name, 24 if width < 110 else 30),
        Cell(waiting or f"{sign} {status}{later}", 12, "accent" if waiting else STATUS_LOOKS.get(status, "dim")),
    ]
    room = max(0, width - sum(cell.width for cell in cells))
    if trouble:
        return [*cells, Cell(one_line(trouble, 200), room, "bad")]
    state = model.state if model is not None else None
    if model is None or state is None:
        return cells
    if status == "paused" and state.reason:
        # If no person paused the run, what it waits for matters more than all figures.
        return [*cells, Cell(one_line(model.filled(state.reason), 400), room, "best")]
    start = state.start
    best = state.best_node
    # Fitness and score need more room than one number.
    two = state.ranking.by_fitness
    narrow = width < (119 if two else 97)
    guarantee = state.engine.guarantee if state.engine is not None else ""
    # Bubblewrap is the normal sandbox; name only a weaker one.
    level = state.engine.sandbox if state.engine is not None else "bubblewrap"
    badge = guarantee if level == "bubblewrap" else f"{guarantee}, {level}"
    # The age of the last event while the run moves, else a doubt about its scores. A wide line has room for both.
    known = Cell("seed known", 11, "best") if state.seed_known else Cell("", 10, "dim")
    last = Cell(f"last {age(now - state.at)}", 10, "dim") if now is not None else known
    budget_room = 17 if width < _ROOMY else 24
    wide = [
        Cell(_describe_best(best, state.ranking, narrow), 41 if two else 24, "best"),
        Cell(f"round {state.rounds_done}/{state.settings.rounds}", 17),
        Cell(badge, max(9, len(badge) + 2), "ok" if guarantee == "guarded" else "best"),
        last,
        *([known] if known.text and last is not known else []),
        Cell(_describe_budget(model, budget_room), budget_room),
        Cell(one_line(start.task, 40), 18 if width < _ROOMY else 24, "dim"),
        Cell(one_line(state.engine.host if state.engine else start.host, 40), 16, "dim"),
    ]
    vain = sum(in_vain(state).values())
    if narrow:
        wide[0] = Cell(wide[0].text, 28 if two else 21, "best")
        wide[1] = Cell(f"r {state.rounds_done}/{state.settings.rounds}", 12)
        wide[2] = Cell(guarantee, 8 if two else 9, wide[2].look)
        if last is not known or not known.text:
            wide[3] = last._replace(width=8 if two else 9)
        elif two:
            # 80 columns hold these words only if their neighbours give them three cells.
            wide[0], wide[1] = wide[0]._replace(width=26), wide[1]._replace(width=11)
        cells[0] = _name_cell(name, max(12, width - 12 - sum(cell.width for cell in wide[:4])))
    if vain:
        # At 80 columns the name gives the cells; a wide line has room for the words that the notes have in full.
        said = f"!{vain:,}" if narrow else f"{vain:,} in vain"
        wide.insert(2, Cell(said, max(5 if narrow else 10, len(said) + 1), "bad"))
        if not narrow:
            wide[1] = wide[1]._replace(width=14)
        taken = sum(cell.width for cell in wide[: 5 if narrow else 6])
        cells[0] = _name_cell(name, max(12, min(cells[0].width, width - cells[1].width - taken)))
    still = standstill_cell(state)
    if still:
        # The action is told where there is room; its figures are in the notes.
        said = " ".join(still.split()[:2]) if narrow else still
        wide.insert(1, Cell(said, 10 if narrow else 18, "best"))
        taken = sum(cell.width for cell in wide[: 5 if narrow else 6])
        cells[0] = _name_cell(name, max(12, min(cells[0].width, width - cells[1].width - taken)))
    for cell in wide:
        if sum(item.width for item in cells) + cell.width <= width:
            cells.append(cell)
    return cells


def _describe_best(best: Node | None, ranking: Ranking, narrow: bool) -> str:
    """Return the best node with its fitness or score first."""
    if best is None:
        return "no score yet"
    if not ranking.by_fitness:
        return f"best {ranking.describe(best)} #{best.id}"
    return f"{ranking.brief(best)} #{best.id}" if narrow else f"best #{best.id} {ranking.describe(best, 5)}"


def _name_cell(name: str, width: int) -> Cell:
    # A run's name ends in its start time, which distinguishes it from others of its task.
    return Cell(f" {cut_middle(one_line(name, 250), width - 2)}", width, "heading")


def _describe_budget(model: RunModel, room: int) -> str:
    """Return the budget that is nearest to its limit, or what is spent if there is none; tokens are cut to thousands
    or millions if all their digits do not fit."""
    state, settings = model.state, model.state.settings
    shares: list[tuple[float, str]] = []
    if settings.usd:
        shares.append((state.usd / settings.usd, f"${state.usd:.2f}/{settings.usd:g}"))
    if settings.hours:
        hours = state.engine_ms / 3_600_000
        shares.append((hours / settings.hours, f"{hours:.1f}/{settings.hours:g} h"))
    if settings.tokens:
        full = f"{state.tokens:,}/{settings.tokens:,} tok"
        brief = f"{short_rate(state.tokens)}/{short_rate(settings.tokens)} tok"
        shares.append((state.tokens / settings.tokens, full if len(full) < room else brief))
    if shares:
        return max(shares)[1]
    if state.usd:
        return f"spent ${state.usd:.2f}"
    minutes = state.engine_ms / 60_000
    return f"run {minutes:.0f} min" if minutes < 120 else f"run {minutes / 60:.0f} h"
