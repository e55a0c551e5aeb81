"""Marked nodes beside each other: their figures, their metrics, what was learnt, and how their programs differ."""

from __future__ import annotations

from collections.abc import Sequence

from engine.journal.reader import JournalReader
from engine.state.node import Node
from engine.text import one_line
from tui.model.document import Line, diff_lines, prose_lines, table_lines
from tui.model.labels import score_text
from tui.model.node_documents import Subject, change_text, value_text
from tui.model.run_model import parent_of
from tui.model.side_by_side import side_by_side_lines

__all__ = ["MOST", "read_comparison"]

MOST = 6
"""Nodes that are compared at once."""


def read_comparison(subjects: Sequence[Subject], width: int, beside: bool) -> list[Line]:
    """Return the comparison of two to `MOST` nodes of one run; the programs of all are compared with the first one's.

    Args:
        subjects: the nodes.
        width: cells across.
        beside: whether two programs stand beside each other.

    Raises:
        JournalError: the journal cannot be read.
    """
    nodes = [subject.node for subject in subjects]
    lines: list[Line] = [*table_lines(_head(nodes), _rows(subjects, nodes)), ()]
    room = max(20, width - 1)
    for node in nodes:
        lines += prose_lines(f"#{node.id} {node.name}", room, "heading")
        lines += prose_lines(node.motivation or "no reason given", room)
        lines += [*prose_lines(node.lesson or node.reason or "no lesson yet", room, "accent"), ()]
    with JournalReader(subjects[0].run.db) as reader:
        first, *others = [(subject, reader.text(subject.node.program)) for subject in subjects]
    for other, code in others:
        names = [f"#{one.node.id} {one.ranking.describe(one.node)}  {one.node.name}" for one in (first[0], other)]
        if beside:
            lines += side_by_side_lines(first[1], code, names, width, other.lexer)
        else:
            lines += diff_lines(first[1], code, *names)
        lines.append(())
    return lines


def _head(nodes: Sequence[Node]) -> list[str]:
    return ["", *(f"#{node.id}" for node in nodes), *(["change"] if len(nodes) == 2 else [])]


def _rows(subjects: Sequence[Subject], nodes: Sequence[Node]) -> list[list[str]]:
    ranking = subjects[0].ranking
    rows = [["status", *(node.status or "running" for node in nodes)]]
    if ranking.by_fitness:
        rows.append(["fitness", *_numbers([node.fitness for node in nodes])])
    rows.append([ranking.metric, *_numbers([node.score for node in nodes])])
    if any(node.verified is not None for node in nodes):
        rows.append(["verified", *_numbers([node.verified for node in nodes])])
    above = [parent_of(node) for node in nodes]
    rows += [
        ["operator", *(one_line(node.operator, 24) for node in nodes)],
        ["parent", *("" if parent is None else f"#{parent}" for parent in above)],
        ["round", *(str(node.round) for node in nodes)],
        ["seconds", *_numbers([node.seconds for node in nodes])],
    ]
    for name in dict.fromkeys(name for node in nodes for name in node.metrics):
        if name != ranking.metric:
            rows.append([name, *_values([node.metrics.get(name) for node in nodes])])
    return [row + [""] * (len(nodes) + 1 + (len(nodes) == 2) - len(row)) for row in rows]


def _numbers(values: Sequence[float | None]) -> list[str]:
    shown = ["" if value is None else score_text(value) for value in values]
    return [*shown, change_text(values[1], values[0])] if len(values) == 2 else shown


def _values(values: Sequence[object]) -> list[str]:
    shown = [value_text(value) for value in values]
    return [*shown, change_text(values[1], values[0])] if len(values) == 2 else shown
