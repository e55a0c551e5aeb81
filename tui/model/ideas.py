"""The log of ideas: each node as what was claimed, what came of it, what was learnt, and whether it was kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from engine.state.node import Node
from engine.text import one_line
from tui.model.document import Line, Look, Span, prose_lines, table_lines
from tui.model.kinds import sums_by
from tui.model.labels import outcome, short_score
from tui.model.run_model import RunModel

__all__ = ["KEPT", "Idea", "Kept", "idea_lines", "is_kept", "kind_lines", "read_idea"]

Kept = Literal["", "kept", "not kept"]
KEPT: tuple[Kept, ...] = ("", "kept", "not kept")
"""Which ideas to show: all, those that were kept, those that were not."""

_KINDS = 200
"""The most kinds that a table of sums has."""


class Idea(NamedTuple):
    """An idea in a few words."""

    node: int
    verdict: str
    look: Look
    kept: bool
    change: str
    """By how much it was better than its parent; empty if nobody knows."""
    claim: str
    lesson: str


def is_kept(model: RunModel, node: Node) -> bool:
    """Return whether a node was a new best, or other nodes were made from it, and nobody pruned it."""
    if node.pruned or node.status != "ok":
        return False
    return bool(model.forest.children(node.id)) or any(step.node == node.id for step in model.state.best_steps)


def _verdict(model: RunModel, node: Node) -> tuple[str, Look]:
    if node.status is None:
        return "running", "dim"
    if node.pruned:
        return "pruned", "dim"
    if node.status != "ok":
        return node.status, "bad"
    if node.id == model.state.best:
        return "best", "best"
    if any(step.node == node.id for step in model.state.best_steps):
        return "was best", "best"
    children = len(model.forest.children(node.id))
    return (f"kept by {children:,}", "ok") if children else ("left", "dim")


def _change(model: RunModel, node: Node) -> str:
    parent = model.parent(node)
    gain = model.state.ranking.gain(node, parent) if parent is not None else None
    return "" if gain is None else f"{'+' if gain >= 0 else ''}{short_score(gain)}"


def read_idea(model: RunModel, node: Node) -> Idea:
    """Return a node as an idea."""
    verdict, look = _verdict(model, node)
    claim = one_line(node.motivation or node.name, 400)
    lesson = one_line(node.lesson or node.reason or "no lesson yet", 400)
    return Idea(node.id, verdict, look, is_kept(model, node), _change(model, node), claim, lesson)


def idea_lines(model: RunModel, node: Node, width: int) -> list[Line]:
    """Return the whole text of an idea."""
    idea = read_idea(model, node)
    made = [f"{node.operator} of #{node.parents[0]}" if node.parents else "seed", f"round {node.round}"]
    writer = model.spending.model_of(node)
    if writer is not None:
        made.append(f"by {writer}")
    made += [f"prior {prior}" for prior in node.priors]
    change = f", {idea.change} on its parent" if idea.change else ""
    room = max(20, width - 1)
    lines: list[Line] = [
        *prose_lines(f"#{node.id} {node.name}", room, "heading"),
        *prose_lines(", ".join(one_line(part, 80) for part in made), room, "dim"),
        (),
        *_part("claim", node.motivation or "no reason given", room, "plain"),
        *_part(
            "outcome", f"{outcome(model, node)}{change}{f': {node.reason}' if node.reason else ''}", room, idea.look
        ),
        *_part("lesson", node.lesson or "none yet", room, "accent"),
        *_part("kept", f"{'yes' if idea.kept else 'no'}, {idea.verdict}", room, idea.look),
    ]
    for comment in node.comments:
        lines += _part("comment", comment, room, "accent")
    return lines


def _part(name: str, text: str, room: int, look: Look) -> list[Line]:
    body = prose_lines(text, max(12, room - 9), look) or [()]
    return [(Span(f"{name if not index else '':<9}", "dim"), *line) for index, line in enumerate(body)]


def kind_lines(model: RunModel, by: str, passes: Callable[[Node], bool], width: int) -> list[Line]:
    """Return what each operator, prior or model gained, as a table.

    Args:
        model: the run.
        by: one of `KINDS`.
        passes: which nodes count.
        width: cells for the text below the table.
    """
    sums = sums_by(model, by, passes)
    if not sums:
        return [(Span(f"no node has a {by}", "dim"),)]
    head = (by, "nodes", "ok", "better", "bests", "gain", "mean", "better ones", "seconds")
    rows = [
        (
            one_line(name, 40), f"{item.nodes:,}", f"{item.fine:,}", f"{item.better:,}", f"{item.bests:,}",
            f"{item.gain:+.4g}" if item.bests else "",
            f"{item.over_parent / item.compared:+.4g}" if item.compared else "",
            " ".join(f"#{node}" for node in reversed(item.newest)), f"{item.seconds:,.0f}",
        )
        for name, item in list(sums.items())[:_KINDS]
    ]  # fmt: skip
    lines = table_lines(head, rows, width, ("seconds", "better ones", "ok"))
    if len(sums) > _KINDS:
        lines.append((Span(f"… and {len(sums) - _KINDS:,} more", "dim"),))
    said = (
        "better: than its parent by more than the noise; bests: new ones; gain: what these added to the best; mean: "
        "the change on the parent; a node of two priors counts for both"
    )
    return [*lines, (), *prose_lines(said, max(20, min(width, 100)), "dim")]
