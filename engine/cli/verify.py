"""`evolve verify`: measure a node on fresh data, in its engine or here, and say whether its gain is there."""

from __future__ import annotations

import time
from json import dumps
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from engine.cli.app import JsonOption, RunsOption, app, fail, pick, print_json
from engine.cli.complete import run_names
from engine.cli.node_name import NodeArgument, resolve_in
from engine.cli.progress import tell
from engine.cli.table import print_table
from engine.cli.trust import TrustOption, settle
from engine.errors import RunError, UsageError
from engine.journal.events import Event, VerifyDone, VerifyMeasured
from engine.journal.reader import JournalReader
from engine.runs.asking import ask
from engine.runs.folder import Run, is_alive
from engine.runs.review import review_run
from engine.state.fold import fold_run
from engine.state.gain import Support, support_of
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import one_line, visible

__all__: list[str] = []

RunOrFile = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN|FILE.json",
        help="Path, name or beginning of a name; by default the newest run. Or a certificate to check.",
        autocompletion=run_names,
    ),
]


@app.command()
def verify(
    run: RunOrFile = None,
    node: NodeArgument = None,
    fresh: Annotated[
        int, typer.Option("--fresh", metavar="N", help="Number of draws of fresh data.", min=1, max=100)
    ] = 3,
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            metavar="FILE.json",
            help="Write a certificate of what the node constructs instead.",
            dir_okay=False,
        ),
    ] = None,
    runs: RunsOption = None,
    trust: TrustOption = False,
    json: JsonOption = False,
) -> None:
    """Measure a node (by default the best) and the seed on fresh data. Exits with 1 if its gain is not confirmed.

    For a task with an exact measure, --certificate writes what a node constructs and its exact score. FILE.json in the
    place of RUN checks such a certificate, whoever made it.
    """
    if run is not None and run.endswith(".json") and Path(run).is_file():
        if node is not None or certificate is not None:
            raise UsageError("a certificate is checked on its own: leave out NODE and --certificate")
        _check(Path(run), json)
        return
    if certificate is not None and certificate.suffix != ".json":
        raise UsageError(f"{certificate} cannot be a certificate: its name must end in .json, by which it is known")
    picked = pick(run, runs)
    node = None if node is None else resolve_in(picked, node)
    if certificate is not None:
        _certify(picked, node, certificate, trust, json)
        return
    seen = _Seen(not json)
    if is_alive(picked):
        done = _in_engine(picked, node, fresh, seen)
    else:
        with JournalReader(picked.db) as reader:
            settle(review_run(picked, fold_run(reader)), trust, may_ask=not json)
        done = _here(picked, node, fresh, seen)
    with JournalReader(picked.db) as reader:
        state = fold_run(reader)
    assert seen.node is not None
    found = _figures(state, state.nodes[seen.node], done, seen.measured)
    if json:
        print_json({"run": str(picked.folder), **found})
    else:
        _print(state, state.nodes[seen.node], done, found)
    fail(0 if done.outcome == "confirmed" else 1)


def _check(path: Path, json: bool) -> None:
    """Measure the answer in a certificate anew, print what was found, and exit: with 1 if the claim is wrong."""
    from engine.runs.certificate import check_certificate

    found = check_certificate(path)
    if json:
        print_json(found)
    else:
        instance = ", ".join(f"{key} = {value}" for key, value in found["instance"].items())
        print(visible(f"{found['problem']}{f' ({instance})' if instance else ''}"))
        if found["score"] is not None:
            print(f"score {found['score']!r}, computed exactly from the answer; {found['direction']}")
        print(
            visible(f"not confirmed: {found['reason']}") if found["reason"] else "confirmed: the claim is its answer's"
        )
    fail(0 if found["confirmed"] else 1)


def _certify(run: Run, node: int | None, target: Path, trust: bool, json: bool) -> None:
    """Run a node's program once more, and write a certificate of what it constructs."""
    from engine.runs.certificate import make_certificate

    with JournalReader(run.db) as reader:
        state = fold_run(reader)
        if node is None:
            node = state.best
        if node is None or node >= len(state.nodes):
            raise UsageError(f"run '{run.name}' has no best node yet" if node is None else f"there is no node {node}")
        settle(review_run(run, state), trust, may_ask=not json)
        of = state.nodes[node]
        kept = reader.text(of.construction_blob) if of.construction_blob else ""
        made = make_certificate(state, of, reader.text(of.program), kept)
    try:
        target.write_text(dumps(made, indent=1) + "\n")
    except OSError as exc:
        raise RunError(f"{target} cannot be written: {exc.strerror}") from None
    score = made["score"]
    if json:
        print_json({"run": str(run.folder), "node": node, "certificate": str(target), "score": score["score"]})
        return
    print(f"{target}: node {node} constructs {score['metric']} {score['score']!r}, computed exactly from its answer")
    recorded = state.nodes[node].score
    if recorded is not None and recorded != score["score"]:
        print(f"the run recorded {recorded!r}")
    print(f"'evolve verify {quote(str(target))}' checks it, on any machine")


class _Seen:
    """The events of one verification.

    Args:
        told: whether each measurement is told as it ends.
    """

    def __init__(self, told: bool) -> None:
        self._told = told
        self.node: int | None = None
        self.measured: list[VerifyMeasured] = []
        self.done: VerifyDone | None = None

    def take(self, event: Event) -> None:
        """Take note of an event about the node."""
        if isinstance(event.data, VerifyMeasured):
            self.node = event.node
            self.measured.append(event.data)
            if self._told:
                said = f"{event.data.score:.8g}" if event.data.score is not None else event.data.status
                tell(f"node {event.data.of} on draw {event.data.draw}: {said}, {event.data.seconds:.1f} s")
        elif isinstance(event.data, VerifyDone):
            self.node, self.done = event.node, event.data


def _here(run: Run, node: int | None, fresh: int, seen: _Seen) -> VerifyDone:
    from engine.loop.resting import verify_resting

    return verify_resting(run, node, fresh, lambda event, state: seen.take(event))


def _in_engine(run: Run, node: int | None, fresh: int, seen: _Seen) -> VerifyDone:
    with JournalReader(run.db) as reader:
        place = reader.last_seq()
        if node is None:
            node = fold_run(reader).best
        answer = ask(run, "verify", {"node": node, "fresh": fresh})
        if not answer.ok:
            raise RunError(f"run '{run.name}': {answer.text}")
        tell(answer.text)
        while seen.done is None:
            alive = is_alive(run)
            for event in reader.events(after=place):
                place = event.seq
                if event.node == node and seen.done is None:
                    seen.take(event)
            if seen.done is None and not alive:
                raise RunError(
                    f"the engine of '{run.name}' ended before node {node} was verified",
                    "It goes on when the run is resumed",
                )
            time.sleep(0.1)
    return seen.done


def _figures(state: RunState, node: Node, done: VerifyDone, measured: list[VerifyMeasured]) -> dict[str, Any]:
    """Return all that was found, as data."""
    seed = None if done.reference is None else state.nodes[done.reference]
    beside = {result.draw: result for result in measured if seed is not None and result.of == seed.id}
    draws = []
    for result in measured:
        if result.of != node.id:
            continue
        other = beside.get(result.draw)
        draws.append(
            {
                "draw": result.draw, "status": result.status, "reason": result.reason, "score": result.score,
                "seed_score": None if other is None else other.score,
            }
        )  # fmt: skip
    gains = done.gains[len(done.gains) - done.fresh :] if done.fresh else []
    return {
        "node": node.id,
        "confirmed": done.outcome == "confirmed",
        "outcome": done.outcome,
        "reason": done.reason,
        "recorded": node.score,
        "draws": draws,
        "score": _spread_of(done.scores, done.confidence),
        "seed": None if seed is None else {"node": seed.id, "recorded": seed.score},
        "seed_score": _spread_of(done.reference_scores, done.confidence),
        "gain": _spread_of(gains, done.confidence),
        "least_gain": done.least,
        "confidence": done.confidence,
        "best": state.best,
    }


def _spread_of(values: list[float], confidence: float) -> dict[str, Any] | None:
    """Return mean, standard deviation and two-sided interval of some figures; None of none."""
    if not values:
        return None
    support = support_of(values)
    if support.number < 2:
        return {"mean": support.mean, "spread": None, "low": None, "high": None}
    reach = _reach(support, confidence)
    return {"mean": support.mean, "spread": support.spread, "low": support.mean - reach, "high": support.mean + reach}


def _reach(support: Support, confidence: float) -> float:
    """Return how far each end of a two-sided interval is from the mean."""
    return support.reach((1.0 + confidence) / 2.0)


def _print(state: RunState, node: Node, done: VerifyDone, found: dict[str, Any]) -> None:
    metric, seed = state.spec.metric, found["seed"]
    print(f"node {node.id}: {one_line(node.name, 100)}")
    told = f", seed program {seed['recorded']:.8g}" if seed is not None and seed["recorded"] is not None else ""
    print(f"{metric} {node.score:.8g} as recorded{told}\n")
    rows = [
        [
            str(draw["draw"]), _figure(draw["score"], draw["status"]),
            *([_figure(draw["seed_score"], "–")] if seed is not None else []),
        ]
        for draw in found["draws"]
    ]  # fmt: skip
    rows += [
        ["mean", *(_mean(found[key], "mean") for key in ("score", *(["seed_score"] if seed else [])))],
        ["spread", *(_mean(found[key], "spread") for key in ("score", *(["seed_score"] if seed else [])))],
    ]
    print_table(["draw", metric, *(["seed program"] if seed is not None else [])], rows, ())
    share = f"{done.confidence:.4g}"
    for label, key in ((metric, "score"), ("gain of fitness" if state.ranking.by_fitness else "gain", "gain")):
        figures = found[key]
        if figures is not None:
            within = (
                f", spread {figures['spread']:.3g}, from {figures['low']:.6g} to {figures['high']:.6g} at a confidence "
                f"of {share}"
                if figures["spread"] is not None
                else ""
            )
            print(f"{label} {figures['mean']:.6g}{within}")
    print(f"not confirmed: {visible(done.reason)}" if done.reason else "confirmed")
    if node.quarantined and state.best != node.id:
        print(f"node {node.id} is quarantined; the best is node {state.best}")


def _figure(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.8g}"


def _mean(figures: dict[str, Any] | None, key: str) -> str:
    return "–" if figures is None or figures[key] is None else f"{figures[key]:.6g}"
