"""The documents of the node screen, read from the journal. Call from a thread: this waits for the disk."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from engine.errors import JournalError
from engine.evaluation.curve import decode_curve
from engine.evaluation.picture import decode_picture
from engine.journal.events import (
    AnalyzeDone,
    CallDone,
    CallStarted,
    EvalProgress,
    EvalStageDone,
    EvalStarted,
    Event,
    LearnDone,
    NodeCommented,
)
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.state.fronts import describe_front
from engine.state.gain import describe_check
from engine.state.node import Node
from engine.state.ranking import Ranking
from tui.model.call_documents import call_lines
from tui.model.document import (
    Line,
    Span,
    clean_line,
    code_lines,
    curve_lines,
    diff_lines,
    lexer_of,
    prose_lines,
    table_lines,
    text_lines,
)
from tui.model.labels import clock, score_text
from tui.model.outputs import RunningCurve, Watched
from tui.model.picture import picture_lines
from tui.model.program_files import ProgramFile, compare_files, files_of
from tui.model.run_model import RunModel, has_mark
from tui.model.side_by_side import side_by_side_lines

__all__ = ["TABS", "Subject", "change_text", "changes_document", "make_subject", "read_document", "read_files"]
__all__ += ["value_text"]

TABS = ("Code", "Diff", "Metrics", "Logs", "Note", "Priors", "Calls")
"""Names of a node's documents, in the order of their keys."""


@dataclass(frozen=True)
class Subject:
    """A node at one moment, safe to read from another thread."""

    run: Run
    node: Node
    parent: Node | None
    best: Node | None
    ranking: Ranking
    """The ranking of the run."""
    base: Node | None = None
    """The node to compare with instead of the parent."""
    seq: int = 1 << 62
    """The last event to read: later ones are not known at this moment."""
    lexer: str = "python"
    """Pygments' name of the language of the task's programs."""
    is_folder: bool = False
    """Whether programs are folders."""
    file: str = ""
    """The file of the program that code and differences are about; empty for all."""
    running: Watched | None = None
    """The evaluation that measures it at the moment."""
    curve: RunningCurve | None = None
    """Keeps what that evaluation has reported, so that a later reading needs only what is new."""
    beside: bool = False
    """Whether the two programs of a difference stand beside each other."""

    def events(self, reader: JournalReader) -> list[Event]:
        """Return the events about the node up to the moment."""
        return [event for event in reader.node_events(self.node.id) if event.seq <= self.seq]

    def round_events(self, reader: JournalReader) -> list[Event]:
        """Return the events of the node's round up to the moment, without those about other nodes."""
        events = reader.round_events(self.node.round)
        return [event for event in events if event.node in (None, self.node.id) and event.seq <= self.seq]


def make_subject(run: Run, model: RunModel, node: Node, base: Node | None = None, is_live: bool = True) -> Subject:
    """Return a snapshot of a node.

    Args:
        run: the run.
        model: what is known of it.
        node: the node.
        base: the node to compare it with; None for its parent.
        is_live: whether what a running evaluation prints can be known before its end.
    """
    parent = model.parent(node)
    best = model.state.best_node
    return Subject(
        run,
        copy.copy(node),
        copy.copy(parent) if parent is not None else None,
        copy.copy(best) if best is not None else None,
        model.state.ranking,
        copy.copy(base) if base is not None else None,
        model.state.seq,
        model.state.spec.language.lexer,
        bool(model.state.spec.program.files),
        running=_watched(model, node, is_live),
    )


def _watched(model: RunModel, node: Node, is_live: bool) -> Watched | None:
    evaluation = model.state.evaluations.get(node.id)
    if evaluation is None or evaluation.running is None:
        return None
    running, output = evaluation.running, model.outputs.get(node.id)
    streams = dict(output.streams) if output is not None else {}
    return Watched(running.stage, running.repeat, evaluation.started_at, streams, is_live)


def read_files(subject: Subject) -> list[ProgramFile]:
    """Return the files of a node's program, compared with those of its parent or base; none if it is one file.

    Raises:
        JournalError: the journal cannot be read.
    """
    if not subject.is_folder:
        return []
    before = subject.base or subject.parent
    with JournalReader(subject.run.db) as reader:
        return compare_files(
            reader.text(before.program) if before is not None else None, reader.text(subject.node.program)
        )


def read_document(subject: Subject, tab: str, width: int) -> list[Line]:
    """Return one document of a node.

    Args:
        subject: the node.
        tab: one of `TABS`.
        width: cells across.

    Raises:
        JournalError: the journal cannot be read.
    """
    with JournalReader(subject.run.db) as reader:
        return _READERS[tab](reader, subject, width)


def changes_document(tab: str, event: Event) -> bool:
    """Return whether a document of the event's node must be read again after the event."""
    match tab:
        case "Code" | "Priors":
            return False  # both are as they were when the node was designed
        case "Calls":
            return isinstance(event.data, CallStarted | CallDone)
    if isinstance(event.data, EvalStarted):
        return tab in ("Metrics", "Logs")
    return not isinstance(event.data, CallStarted | CallDone | EvalProgress)


def _code(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    code = reader.text(subject.node.program)
    if not subject.file:
        return code_lines(code, subject.lexer)
    text = files_of(code).get(subject.file)
    if text is None:
        return text_lines("this program lacks the file; 2 shows what it held", "dim")
    return code_lines(text, lexer_of(subject.file, subject.lexer))


def _diff(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    node, parent = subject.node, subject.base or subject.parent
    if parent is None:
        return text_lines("a seed has no parent to compare with; d compares with any other node", "dim")
    before, after = reader.text(parent.program), reader.text(node.program)
    if subject.file:
        before, after = (files_of(code).get(subject.file, "") for code in (before, after))
    names = [f"#{one.id} {subject.ranking.describe(one)}  {one.name}" for one in (parent, node)]
    if subject.beside:
        lexer = lexer_of(subject.file, subject.lexer) if subject.file else subject.lexer
        return side_by_side_lines(before, after, names, width, lexer)
    return diff_lines(before, after, *names)


def _metrics(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    node, parent = subject.node, subject.base or subject.parent
    before = parent.metrics if parent is not None else {}
    lines = _score(subject)
    rows = [
        (key, value_text(value), value_text(before.get(key)), change_text(value, before.get(key)))
        for key, value in node.metrics.items()
    ]
    if rows:
        lines += [*table_lines(("metric", f"#{node.id}", f"#{parent.id}" if parent else "parent", "change"), rows), ()]
    done = [event.data for event in subject.events(reader) if isinstance(event.data, EvalStageDone)]
    stages = [
        (
            f"{item.stage} {item.repeat + 1}", item.status, score_text(item.score), f"{item.seconds:.2f} s",
            f"{item.cpu_seconds:.2f} s", f"{item.peak_mb:.0f} MB", item.guarantee,
        )
        for item in done
    ]  # fmt: skip
    if stages:
        lines += [*table_lines(("stage", "status", "score", "time", "cpu", "peak", "result"), stages), ()]
    for item in done:
        if item.curve_blob:
            curves = curve_lines(decode_curve(reader.blob(item.curve_blob)), max(20, min(80, width - 14)), 6)
            if curves:
                lines += [(Span(f"reported in {item.stage} {item.repeat + 1}", "dim"),), *curves]
        if item.picture_blob:
            picture = decode_picture(reader.blob(item.picture_blob))
            lines.append((Span(f"drawn in {item.stage} {item.repeat + 1}", "dim"),))
            if picture is not None:
                lines += picture_lines(picture, item.picture_blob, width - 2)
            else:
                lines.append((Span("this is not points, circles or steps, so that it cannot be shown", "bad"),))
            lines.append(())
    lines += _measured_now(reader, subject, width)
    if not lines:
        lines = [*text_lines("nothing measured yet", "dim"), ()]
    marks = [said for mark, said in _MARKS if has_mark(node, mark)]
    if marks:
        lines += [(Span("marked  ", "dim"), Span(", ".join(marks), "accent")), ()]
    for comment in node.comments:
        lines += [(Span("comment", "dim"),), *prose_lines(comment, max(20, width - 1), "accent"), ()]
    return lines


def _measured_now(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    """Return what a running evaluation has reported so far."""
    running, curve, node = subject.running, subject.curve, subject.node.id
    if running is None:
        return []
    lines = [_heading(running)]
    if curve is not None:
        known = curve.follow(node, running.stage, running.repeat, running.started_at)
        curve.extend(reader.node_events_of(node, EvalProgress, known))
        points = curve.points(subject.seq)
        if points:
            step, values = points[-1]
            said = "  ".join(f"{clean_line(name)[:40]} = {value:.6g}" for name, value in list(values.items())[:12])
            lines += [(Span("" if step is None else f"step {step:g}  ", "dim"), Span(said)), ()]
            return lines + curve_lines(points, max(20, min(80, width - 14)), 6)
    return [*lines, *text_lines("it has reported no value yet", "dim"), ()]


def _heading(running: Watched) -> Line:
    return (
        Span(f"{running.stage} {running.repeat + 1}: running", "heading"),
        Span(f"  since {clock(running.started_at)}", "dim"),
    )


_MARKS = (
    ("starred", "* starred"),
    ("pinned", "! pinned: used as parent"),
    ("pruned", "x pruned: never sampled again"),
    ("quarantined", "? quarantined: not crowned, and sampled below the best"),
    ("broken", "/ breaks a constraint: not crowned, and sampled below all that break none"),
)


def _score(subject: Subject) -> list[Line]:
    """Return fitness, score, their uncertainty, and the verified score or the judge's mark."""
    node, spans = subject.node, []
    metric = clean_line(subject.ranking.metric)[:40]
    if subject.ranking.by_fitness and node.score is not None:
        ranked = "not ranked  " if node.fitness is None else f"fitness = {score_text(node.fitness)}  "
        spans.append(Span(ranked, "bad" if node.fitness is None else "ok"))
    if node.score is not None:
        spans.append(Span(f"{metric} = {score_text(node.score)}", "plain" if spans else "ok"))
        if node.measurements > 1:
            spans.append(Span(f"  ±{node.spread or 0:.2g} over {node.measurements} measurements"))
    elif node.status is not None:
        spans.append(Span(f"{node.status}: no {metric}", "bad"))
    if node.verified is not None:
        spans.append(Span(f"  verified {score_text(node.verified)}", "ok"))
    if node.judge is not None:
        spans.append(Span(f"  judge's mark {node.judge:.3g} of 1"))
    lines = [tuple(spans)] if spans else []
    if node.check is not None:
        lines += text_lines(describe_check(node.check), "bad" if node.quarantined else "plain")
    if node.front is not None:
        lines += text_lines(describe_front(node), "ok" if node.front == 1 else "plain")
    if node.broken:
        lines += text_lines(node.broken, "bad")
    if node.asked is not None:
        lines += text_lines(f"verified on request: {describe_check(node.asked)}", "plain")
    return [*lines, ()] if lines else []


def value_text(value: object) -> str:
    """Return a metric's value on one line; empty if there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else clean_line(str(value)[:200]).replace("\n", " ")
    return f"{value:.6g}"


def change_text(value: object, before: object) -> str:
    """Return by how much a number differs from another one; empty if one of them is no number."""
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in (value, before))
    return f"{value - before:+.4g}" if numbers else ""  # type: ignore[operator]


def _logs(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    lines: list[Line] = []
    ended = [event.data for event in subject.events(reader) if isinstance(event.data, EvalStageDone)]
    if subject.node.reason and not any(data.reason for data in ended):
        lines += [*text_lines(subject.node.reason, "bad"), ()]
    for data in ended:
        lines.append((Span(f"{data.stage} {data.repeat + 1}: {data.status}", "heading"),))
        if data.reason:
            lines += text_lines(data.reason, "bad")
        said = (("feedback", data.feedback_blob), ("stdout", data.stdout_blob), ("stderr", data.stderr_blob))
        for name, blob in said:
            if blob:
                lines += [(Span(f"── {name}", "dim"),), *text_lines(reader.text(blob))]
        lines.append(())
    if subject.running is not None:
        lines.append(_heading(subject.running))
        for name, text in sorted(subject.running.streams.items(), reverse=True):
            lines += [(Span(f"── {name}, as it is printed", "dim"),), *text_lines(text)]
        if not subject.running.streams:
            lines += text_lines(_SILENT if subject.running.is_live else _REPLAYED, "dim")
    return lines or text_lines("nothing printed yet", "dim")


_SILENT = "nothing was printed yet; what it prints appears here after a second"
_REPLAYED = "what it printed is known from its end on"


def _note(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    node = subject.node
    room = max(20, width - 1)
    lines: list[Line] = [
        (Span("why it was made", "heading"),),
        *prose_lines(node.motivation or "no reason given", room),
        (),
    ]
    if node.reason:
        lines += [(Span("reason for the result", "heading"),), *prose_lines(node.reason, room, "bad"), ()]
    for event in subject.events(reader):
        lines += _said(event, room)
    return lines


def _said(event: Event, room: int) -> list[Line]:
    data = event.data
    if isinstance(data, AnalyzeDone):
        heading: Line = (Span("lesson", "heading"), Span(f"  {clean_line(data.analyzer)}", "dim"))
        lesson, note = prose_lines(data.lesson, room, "accent"), prose_lines(data.note, room)
        return [heading, *lesson, (), (Span("note", "heading"),), *note, ()]
    if isinstance(data, NodeCommented):
        return [(Span("comment", "heading"),), *prose_lines(data.text, room, "accent"), ()]
    return []


def _priors(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    node = subject.node
    events = reversed(subject.round_events(reader))
    learned = next((event.data for event in events if isinstance(event.data, LearnDone)), None)
    if learned is None:
        return text_lines("no parent was sampled for this node: it is a seed or was injected", "dim")
    shown = ", ".join(f"#{item}" for item in learned.inspirations) or "none"
    room = max(20, width - 1)
    parent, *further = prose_lines(f"#{learned.parent}  {' '.join(learned.why.split())}", room - 13)
    lines: list[Line] = [
        (Span("parent       ", "dim"), *parent),
        *((Span(" " * 13), *line) for line in further),
        (Span("inspirations ", "dim"), Span(shown)),
        (),
    ]
    for prior in learned.priors:
        used = "  used in the program" if prior.id in node.priors else ""
        lines.append((Span(clean_line(prior.title), "heading"), Span(used, "ok")))
        revision = f"revision {prior.number} ({prior.revision[:8]})" if prior.number else f"text {prior.revision[:8]}"
        said = f"{prior.id}  {revision}  score {prior.score:.3g}  {' '.join(prior.why.split())}"
        lines += prose_lines(said, room, "dim")
        try:
            lines += [*prose_lines(reader.text(prior.revision), room), ()]
        except (JournalError, ValueError):
            lines += [(Span("its text is not in the journal", "dim"),), ()]
    return lines if learned.priors else [*lines, (Span("no prior was shown", "dim"),)]


def _calls(reader: JournalReader, subject: Subject, width: int) -> list[Line]:
    return call_lines(reader, subject.round_events(reader), width)


_READERS = {
    "Code": _code,
    "Diff": _diff,
    "Metrics": _metrics,
    "Logs": _logs,
    "Note": _note,
    "Priors": _priors,
    "Calls": _calls,
}
