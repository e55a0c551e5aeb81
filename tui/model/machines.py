"""The machines that evaluations run on: what fits onto each, what runs there, what it measured and lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from engine.state.run_state import RunState
from engine.text import counted, one_line
from tui.model.document import Line, Span, table_lines

__all__ = ["machines_lines"]

_HEAD = ("machine", "slots", "runs", "load", "cores", "GPUs", "measured", "lost")


def machines_lines(state: RunState) -> list[Line]:
    """Return a table of the machines, and what is known of their kinds, as a document."""
    running = Counter(evaluation.host for evaluation in state.evaluations.values() if evaluation.host)
    names = sorted({*state.cluster, *running, *state.measured, *state.losses} - {""})
    if not names:
        return [(Span("Evaluations run on the engine's own machine.", "dim"),)]
    place = state.engine.executor if state.engine is not None else ""
    slots = sum(machine.slots for machine in state.cluster.values())
    at_once = f", {counted(slots, 'slot')}" if slots else ""
    lines: list[Line] = [
        (Span("Machines", "heading"), Span(f"  {place or 'local'}, {len(state.cluster):,} there{at_once}", "dim")),
        *table_lines(_HEAD, _rows(state, names, running)),
        (
            Span(
                "load: evaluations of this run that run there, of those that fit; lost: not their programs' fault",
                "dim",
            ),
        ),
    ]
    if state.losses.get(""):
        lines += [(Span(f"lost before they had a machine: {state.losses['']:,}", "dim"),)]
    waiting = sum(not item.host for item in state.submitted.values())
    if waiting:
        lines += [(Span(f"waiting for a machine: {waiting:,}", "dim"),)]
    if state.machines:
        lines += [(), (Span("Kinds of machine that measured", "heading"),)]
        for seen in state.machines.values():
            facts = ", ".join(f"{key} {value}" for key, value in sorted(seen.facts.items()))
            lines += [(Span(f"{seen.machine}  first {one_line(seen.host, 40)}: "), Span(one_line(facts, 400), "dim"))]
    return lines


def _rows(state: RunState, names: Sequence[str], running: Counter[str]) -> Iterator[Sequence[str]]:
    for name in names:
        machine = state.cluster.get(name)
        if machine is None:
            # It has left, or the engine has.
            there: tuple[str, ...] = ("gone", str(running[name] or ""), "–", "", "")
        else:
            load = f"{running[name] / machine.slots:.0%}" if machine.slots else "–"
            there = (
                f"{machine.slots:,}", str(running[name] or ""), load, f"{machine.cores:g}",
                f"{machine.gpus:g}" if machine.gpus else "",
            )  # fmt: skip
        lost = state.losses.get(name, 0)
        yield (one_line(name, 40), *there, f"{state.measured.get(name, 0):,}", f"{lost:,}" if lost else "")
