"""Commands that only read: show, best, diff, events."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.cli.app import (
    ForceOption,
    JsonOption,
    RunArgument,
    RunName,
    RunsOption,
    app,
    pick,
    print_json,
    refuse_to_replace,
)
from engine.cli.calls import calls_of, print_calls, print_round, print_run_calls, round_of, run_calls, spending
from engine.cli.filter import filtered
from engine.cli.node_name import NodeArgument, parse_node, resolve
from engine.cli.programs import write_best
from engine.cli.progress import tell
from engine.cli.table import print_table
from engine.errors import UsageError
from engine.evaluation.curve import decode_curve
from engine.evaluation.picture import decode_picture
from engine.journal import events as ev
from engine.journal.database import row_data
from engine.journal.reader import JournalReader
from engine.priors.usage import credited, idea_of
from engine.runs.folder import Run, is_alive
from engine.runs.status import best_entry, summary_now
from engine.state.armed import describe_armed
from engine.state.best_known import describe_record, record_entry
from engine.state.fold import fold_run
from engine.state.fronts import describe_front
from engine.state.gain import describe_check
from engine.state.lineage import ancestors, best_path, descendants, first_parents, lineage
from engine.state.mode_choice import describe_modes, modes_entry
from engine.state.model_choice import models_entry
from engine.state.node import Node
from engine.state.novelty import spared_told
from engine.state.run_state import RunState
from engine.state.standstill_told import credits_told, standstill_entry, standstill_told
from engine.text import one_line, visible

__all__: list[str] = []


@app.command()
def show(
    run: RunArgument = None,
    node: NodeArgument = None,
    calls: Annotated[
        bool, typer.Option("--calls", help="List all calls of models; with NODE print its prompts and answers.")
    ] = False,
    round_: Annotated[
        int | None,
        typer.Option(
            "--round", metavar="N", help="One round, its prompts and answers, also if it made no node.", min=0
        ),
    ] = None,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="EXPR",
            help="Only nodes that match, for example 'status:ok score>2.6 op:tune is:best words'.",
        ),
    ] = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Show a run with its nodes, one node in full, or one round with all its calls of models."""
    picked = pick(run, runs)
    with JournalReader(picked.db) as reader:
        state = fold_run(reader)
        if round_ is not None and node is not None:
            raise UsageError("--round shows a round: do not name a node as well")
        if filter_ is not None and (calls or round_ is not None):
            raise UsageError("--filter selects among nodes: leave out --calls and --round")
        if node is not None and filter_ is not None:
            raise UsageError("--filter selects among a run's nodes: do not name a node as well")
        if round_ is not None:
            found = round_of(reader, round_)
            print_json(found) if json else print_round(found)
        elif node is None and calls:
            print_json({**summary_now(picked, state), **run_calls(reader)}) if json else print_run_calls(picked, reader)
        elif node is None:
            _show_run(picked, state, state.nodes if filter_ is None else filtered(state, filter_), json)
        else:
            _show_node(reader, state, state.nodes[resolve(picked, state, node)], json, calls)


def _show_run(run: Run, state: RunState, shown: Sequence[Node], json: bool) -> None:
    entry: dict[str, Any] = dict(summary_now(run, state))
    if json:
        nodes = [
            {
                "id": node.id, "parents": list(node.parents), "round": node.round, "status": node.status,
                "score": node.score, "fitness": node.fitness, "operator": node.operator, "name": node.name,
                "priors": list(node.priors), "quarantined": node.quarantined, "broken": node.broken,
            }
            for node in shown
        ]  # fmt: skip
        told = {"standstill": standstill_entry(state), "models": models_entry(state)}
        told["modes"] = modes_entry(state)
        more = {"record": record_entry(state), **told, **_front(state)}
        print_json({**entry, **more, "nodelist": nodes})
        return
    best, ranking = state.best_node, state.ranking
    print(
        f"{entry['name']}: {entry['task']}, {entry['status']}"
        + (f" ({visible(entry['reason'])})" if entry["reason"] else "")
        + (f", pauses {describe_armed(state.armed)}" if state.armed is not None else "")
    )
    print(f"rounds {state.rounds_done}/{state.settings.rounds}, nodes {len(state.nodes)}, {_counts(state)}")
    if best is not None and best.score is not None:
        print(f"best {ranking.describe(best, 10)}, node {best.id}: {one_line(best.name, 100)}")
        print(f"best path {_path(best_path(state))}")
    if state.fronts:
        front = sorted(state.fronts[0])
        print(f"front of {len(front)} nodes, hypervolume {state.hypervolume:.10g}: {_path(front, ', ')}")
    if record := describe_record(state):
        print(f"record {visible(run.filled(record))}")
    if standstill := standstill_told(state):
        print(visible(standstill))
    if credits := credits_told(state):
        print(f"against standstills {visible(credits)}")
    if modes := describe_modes(state):
        print(f"ways of writing: {modes}")
    if spared := spared_told(state):
        print(f"evaluations spared: {spared}")
    if spending(state):
        print(spending(state))
    guarantee = str(state.engine.guarantee) if state.engine else "–"
    if state.engine and state.engine.sandbox != "bubblewrap":
        guarantee += f", sandbox {state.engine.sandbox}"
    known = ", seed known" if state.seed_known else ""
    print(f"results {guarantee}{known}; journal {run.db}\n")
    rows = [
        [
            f"{'*' if node is best else ''}{node.id}", ",".join(map(str, node.parents)) or "–", str(node.round),
            "quarantined" if node.quarantined else "broken" if node.broken else node.status or "…",
            *([_figure(node.fitness)] if ranking.by_fitness else []), _figure(node.score),
            f"{node.seconds:.1f}", node.operator, one_line(node.name, 60),
        ]
        for node in shown
    ]  # fmt: skip
    if len(shown) < len(state.nodes):
        print(f"{len(shown)} of {len(state.nodes)} nodes:")
    ranked = ["fitness", "score"] if ranking.by_fitness else ["score"]
    print_table(["node", "parents", "round", "status", *ranked, "s", "operator", "name"], rows, ("s", "round"))


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.8g}"


def _front(state: RunState) -> dict[str, Any]:
    """Return the front as data; nothing if nodes are ranked by one number."""
    if state.settings.fitness.kind != "pareto":
        return {}
    return {"front": sorted(state.fronts[0]) if state.fronts else [], "hypervolume": state.hypervolume}


def _path(nodes: list[int], by: str = " → ") -> str:
    """Format a path of nodes; leave out the middle of one longer than 16."""
    shown: list[object] = [*nodes] if len(nodes) <= 16 else [*nodes[:6], f"… {len(nodes) - 14} more …", *nodes[-8:]]
    return by.join(map(str, shown))


def _counts(state: RunState) -> str:
    found = ", ".join(f"{count} {status}" for status, count in sorted(state.counts.items()))
    return found + (f", {state.no_design} rounds without a design" if state.no_design else "")


def _show_node(reader: JournalReader, state: RunState, node: Node, json: bool, calls: bool) -> None:
    events = reader.node_events(node.id)
    stages = [event.data for event in events if isinstance(event.data, ev.EvalStageDone)]
    analyses = [event.data for event in events if isinstance(event.data, ev.AnalyzeDone)]
    learned = _learned(reader, node)
    ids = credited(node, learned.priors if learned is not None else [])
    idea = idea_of(node, ids)
    whole: dict[str, Any] = {
        "id": node.id, "parents": list(node.parents), "round": node.round, "status": node.status,
        "score": node.score, "operator": node.operator, "name": node.name, "motivation": node.motivation,
        "priors": list(node.priors), "idea": idea,
        "metrics": node.metrics, "reason": node.reason, "seconds": node.seconds,
        "verified": node.verified, "spread": node.spread, "measurements": node.measurements,
        "fitness": node.fitness, "judge": node.judge, "quarantined": node.quarantined, "broken": node.broken,
        "front": node.front, "hypervolume": node.hypervolume,
        "check": msgspec.to_builtins(node.check), "asked": msgspec.to_builtins(node.asked),
        "fresh": [msgspec.to_builtins(e.data) for e in events if isinstance(e.data, ev.VerifyMeasured)],
        "pinned": node.pinned, "pruned": node.pruned, "starred": node.starred, "comments": node.comments,
        "given_blob": node.given_blob, "construction_blob": node.construction_blob,
        "same_as": node.same_as, "taken_from": node.taken_from,
        "causes": list(node.causes), "next_step": node.next_step,
        "lesson": node.lesson, "note": analyses[-1].note if analyses else "",
        "shown": msgspec.to_builtins(learned) if learned else None,
        "program": node.program, "code": reader.text(node.program),
        "stages": [
            {
                **msgspec.to_builtins(stage),
                "feedback": reader.text(stage.feedback_blob),
                "stdout": reader.text(stage.stdout_blob),
                "stderr": reader.text(stage.stderr_blob),
                "picture": _picture(reader, stage),
                "curve": decode_curve(reader.blob(stage.curve_blob)) if stage.curve_blob else [],
            }
            for stage in stages
        ],
    }  # fmt: skip
    asked = calls_of(reader, node) if calls else []
    if json:
        print_json({**whole, "calls": asked} if calls else whole)
        return
    told = state.ranking.describe(node, 10)
    print(f"node {node.id}, round {node.round}: {node.status or 'being evaluated'}, {told}")
    print(f"{one_line(node.name, 200)} ({node.operator} of {', '.join(f'#{p}' for p in node.parents) or 'nothing'})")
    graph = lineage(state)
    above, below = ancestors(graph, node.id), descendants(graph, node.id)
    print(f"path {_path(first_parents(state, node.id))}; {len(above)} ancestors, {len(below)} descendants")
    if node.judge is not None:
        print(f"judge's mark {node.judge:.6g} of 1")
    if node.check is not None and not node.doubted:
        print(describe_check(node.check))
    if node.asked is not None:
        print(f"verified on request: {describe_check(node.asked)}")
    if node.score is not None and node.fitness is None:
        print("not ranked: a part of its fitness is missing")
    if node.front is not None:
        print(describe_front(node))
    if node.broken:
        print(f"not the best, whatever its score: {visible(node.broken)}")
    if node.same_as is not None:
        print(f"behaves the same as #{node.same_as}, to the last digit")
    if node.construction_blob:
        print(f"construction kept, {'improved from an earlier one' if node.given_blob else 'made from nothing'}")
    for label, text in (("why", node.motivation), ("reason", node.reason), ("lesson", node.lesson)):
        if text:
            print(f"{label}: {visible(text)}")
    marks = [mark for mark in ("quarantined", "broken", "pinned", "pruned", "starred") if getattr(node, mark)]
    if marks:
        print(f"marks: {', '.join(marks)}")
    for text in node.comments:
        print(f"comment: {visible(text)}")
    for key, value in node.metrics.items():
        print(f"  {visible(key)} = {visible(str(value))}")
    went_in = f" ({visible(', '.join(ids))})" if ids else ""
    print(f"idea from: {idea}{went_in}")
    if learned is not None and learned.priors:
        print(
            "priors shown: "
            + ", ".join(f"{visible(p.id)}@{p.number or p.revision[:8]} ({visible(p.why)})" for p in learned.priors)
        )
    for stage in stages:
        print(
            f"\nstage {stage.stage}/{stage.repeat}: {stage.status} ({stage.guarantee}), {stage.seconds:.2f} s, "
            f"{stage.cpu_seconds:.2f} CPU s, {stage.peak_mb:.0f} MB"
        )
        said = (("feedback", stage.feedback_blob), ("stdout", stage.stdout_blob), ("stderr", stage.stderr_blob))
        for label, sha256 in said:
            if sha256:
                print(f"--- {label}\n{visible(reader.text(sha256)).rstrip()}")
        if stage.picture_blob and (picture := decode_picture(reader.blob(stage.picture_blob))) is not None:
            from tui.model.picture import picture_rows

            print("--- picture", *picture_rows(picture, 60), sep="\n")
    print(f"\n--- program\n{visible(reader.text(node.program)).rstrip()}")
    if calls:
        print_calls(asked)


def _picture(reader: JournalReader, stage: ev.EvalStageDone) -> dict[str, Any] | None:
    """Return what the evaluator drew, as data; None if it drew nothing."""
    picture = decode_picture(reader.blob(stage.picture_blob)) if stage.picture_blob else None
    return None if picture is None else picture._asdict()


def _learned(reader: JournalReader, node: Node) -> ev.LearnDone | None:
    """Return the learn event of a node's round: what its design was shown."""
    found = (event.data for event in reader.round_events(node.round))
    return next((data for data in found if isinstance(data, ev.LearnDone)), None)


@app.command()
def best(
    run: RunArgument = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="File to write it to.")] = None,
    force: ForceOption = False,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Print the best program, or write it to a file."""
    if out is not None:
        refuse_to_replace(out, force)
    picked = pick(run, runs)
    state, node, code = write_best(picked, out)
    if json:
        found = best_entry(state) or {}
        print_json({"run": str(picked.folder), **found, "ranked_by": state.ranking.key, "code": code})
        return
    if sys.stderr.isatty():
        # On stderr, because stdout may go into a file and holds the program alone.
        tell(f"node {node.id}: {state.ranking.describe(node, 10)}")
    if out is None:
        if sys.stdout.isatty():
            print(visible(code), end="")
        else:
            # Programs are UTF-8, whatever the locale is.
            sys.stdout.flush()
            sys.stdout.buffer.write(code.encode())
    else:
        print(out)


@app.command()
def diff(
    run: RunName,
    a: Annotated[int, typer.Argument(metavar="A", help="A node, or 'best'.", parser=parse_node)],
    b: Annotated[
        int | None,
        typer.Argument(metavar="B", help="Another node; by default A's parent is compared with A.", parser=parse_node),
    ] = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Print the diff of two nodes' programs, or of a node's and its parent's."""
    picked = pick(run, runs)
    with JournalReader(picked.db) as reader:
        state = fold_run(reader)
        a = resolve(picked, state, a)
        b = None if b is None else resolve(picked, state, b)
        if b is None:
            parents = state.nodes[a].parents
            if not parents:
                raise UsageError(
                    f"node {a} has no parent: name the node to compare with", f"evolve diff {picked.typed} {a} B"
                )
            a, b = parents[0], a
        before, after = (reader.text(state.nodes[number].program).splitlines() for number in (a, b))
    lines = list(difflib.unified_diff(before, after, fromfile=f"node {a}", tofile=f"node {b}", lineterm=""))
    if json:
        print_json({"a": a, "b": b, "diff": lines})
        return
    for line in lines:
        print(visible(line))


@app.command()
def events(
    run: RunArgument = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run's engine ends.")] = False,
    since: Annotated[int, typer.Option(metavar="SEQ", help="Only events after this one.", min=0)] = 0,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Print the journal, one JSON object per line, with or without --json."""
    picked = pick(run, runs)
    with JournalReader(picked.db) as reader:
        seq = since
        while True:
            alive = follow and is_alive(picked)
            for row in reader.rows(after=seq):
                seq, at, kind, round_, node, _ = row
                line = {"seq": seq, "at": at, "kind": kind, "round": round_, "node": node}
                print_json({**line, "data": row_data(row, reader.path)})
            sys.stdout.flush()
            if not alive:
                return
            while not reader.changed() and is_alive(picked):
                time.sleep(0.1)
