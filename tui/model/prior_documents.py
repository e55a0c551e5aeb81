"""Documents about a prior: state, origin, use and gain, revisions."""

from __future__ import annotations

from collections.abc import Sequence

from cognition.entry import Entry, Revision
from engine.journal.clock import local_time
from tui.model.document import Line, Span, clean_line, diff_lines, prose_lines
from tui.model.prior_gains import gain_lines
from tui.model.prior_list import PriorRow, state_of
from tui.model.run_model import RunModel

__all__ = ["about_lines", "moment", "revision_lines"]

_STATES = {
    "on": "on: designs may see it",
    "off": "off: no design sees it",
    "gone": "its file vanished: no design sees it until the file is back or it is restored",
    "pending": "proposed: no design sees it until a person accepts it",
    "rejected": "rejected",
    "removed": "removed; its history stays",
}
_AUTHORS = {
    "human": "here or on the command line",
    "file": "as a file",
    "analyzer": "by an analyzer",
    "import": "by an import",
}


def moment(milliseconds: int) -> str:
    """Return a local time to the minute; a dash for never."""
    if not milliseconds:
        return "–"
    return local_time(milliseconds)


def about_lines(row: PriorRow, model: RunModel | None, run: str, metric: str, width: int) -> list[Line]:
    """Return everything known about a prior except its text.

    Args:
        row: the prior.
        model: the run shown; None if there is none.
        run: its name.
        metric: the name of the score that gains are in.
        width: cells across.
    """
    entry, prior, use = row.entry, row.entry.prior, row.use
    room = max(20, width - 14)
    lines: list[Line] = []

    def tell(name: str, text: str, look: str = "plain") -> None:
        for index, line in enumerate(prose_lines(text, room, look)):  # type: ignore[arg-type]
            lines.append((Span(f"{name if not index else '':<12}", "dim"), *line))

    tell(
        "state", _STATES[state_of(entry)], "ok" if row.state == "on" else "best" if row.state == "pending" else "plain"
    )
    if entry.reason:
        tell("reason", entry.reason, "bad")
    said = f", {entry.message}" if entry.message else ""
    tell("revision", f"{prior.number}, {moment(entry.changed_at)}, written {_AUTHORS[entry.author]}{said}")
    tell("file", f"{prior.id}.md")
    if entry.former:
        tell("formerly", ", ".join(entry.former))
    tell("origin", entry.origin + (f", {prior.source}" if prior.source else ""))
    if prior.tags:
        tell("tags", ", ".join(prior.tags))
    tell("weight", f"{prior.weight:g}")
    if prior.recipes:
        tell("recipes", f"{len(prior.recipes)}, which the designer 'recombine' splices into programs")
    if entry.status in ("active", "removed") or use.shown:
        gain = "no gain known yet" if use.gain is None else f"mean gain over the parent {use.gain:+.4g} {metric}"
        tell("came of it", f"shown to {use.shown:,} designs, used in {use.given:,} nodes, {gain}")
        if use.share:
            tell("", f"{use.share:.0%} of the steps to the best nodes")
        if use.last:
            tell("last shown", f"{moment(use.last)}, {_revision(use.number)}")
    shown = model.prior_shown.get(prior.id) if model is not None else None
    if shown is not None:
        tell("in this run", f"last shown in round {shown.round}, {_revision(shown.number)}")
    gains = gain_lines(model, prior.id, width) if model is not None else []
    return [*lines, *_evidence(entry, model, run, width), *gains]


def _revision(number: int) -> str:
    """Return what a design was shown; without a revision, the base could not be read."""
    return f"revision {number}" if number else "read from its file"


def _evidence(entry: Entry, model: RunModel | None, run: str, width: int) -> list[Line]:
    """Return the evidence for a proposal."""
    from_run = str(entry.evidence.get("run", ""))
    if not from_run:
        return []
    lines: list[Line] = [(), (Span("evidence", "heading"), Span(f"  nodes of run {clean_line(from_run)}", "dim"))]
    numbers = [number for number in entry.evidence.get("nodes", ()) if isinstance(number, int)]
    for number in numbers:
        node = model.node(number) if model is not None and from_run == run else None
        if node is None or model is None:
            lines.append((Span(f"  #{number}", "accent"),))
            continue
        told = f"{model.state.ranking.describe(node)}  {clean_line(node.name)}"
        lines.append((Span(f"  #{number} ", "accent"), Span(told)))
        lines += [
            (Span("      "), *line) for line in prose_lines(node.lesson or node.motivation, max(20, width - 7), "dim")
        ]
    return lines if numbers else [*lines, (Span("  no single node", "dim"),)]


def revision_lines(revisions: Sequence[Revision], number: int, base: int | None) -> list[Line]:
    """Return the changes of a revision.

    Args:
        revisions: all of them, oldest first.
        number: the revision to show.
        base: the revision to compare with; None for the one before.
    """
    texts = {revision.number: revision.text for revision in revisions}
    before = number - 1 if base is None else base
    named = f"revision {before}" if before else "nothing"
    return diff_lines(texts.get(before, ""), texts[number], named, f"revision {number}")
