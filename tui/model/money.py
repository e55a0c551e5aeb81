"""What models and operators cost and gained, and how far the limits are at this pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from engine.journal.events import CallStarted
from engine.runs.digest import describe_span
from engine.state.mode_choice import modes_entry
from engine.state.model_choice import models_entry
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.text import one_line
from tui.model.document import Line, Span, table_lines
from tui.model.kinds import sums_by
from tui.model.run_model import RunModel

__all__ = ["forecast", "money_lines"]


def money_lines(model: RunModel, width: int | None = None) -> list[Line]:
    """Return the sums by model and role, by operator, and the forecast, as a document of some cells across."""
    lines: list[Line] = []
    if model.state.last_call:
        lines += [(Span("By model and role", "heading"),)]
        head = ("model, role", "calls", "now", "errors", "in", "cached", "out", "seconds", "$", "gain")
        lines += table_lines(head, _models(model), width, ("errors", "cached", "seconds"))
        lines += [(Span("in, out: tokens; gain: what new bests of a model's designs added to the best", "dim"),), ()]
        if len(model.state.settings.models) > 1:
            lines += [(Span("Designs by model", "heading"),)]
            columns = ("model", "answers", "share", "measured", "better", "gain over parents", "dollars", "tokens")
            shares = _shares("model", models_entry(model.state))
            lines += [*table_lines(columns, shares, width, ("answers", "measured")), ()]
    else:
        lines += [(Span("No model was asked: the designs cost nothing.", "dim"),), ()]
    if len(model.state.modes) > 1:
        lines += [(Span("By way of writing", "heading"),)]
        columns = ("way", "designs", "share", "measured", "better", "gain over parents", "dollars", "tokens")
        shares = _shares("mode", modes_entry(model.state))
        lines += [*table_lines(columns, shares, width, ("dollars", "measured")), ()]
    lines += [(Span("By operator", "heading"),)]
    lines += table_lines(("operator", "nodes", "ok", "better", "new bests", "gain", "seconds"), _operators(model))
    lines += [
        (Span("better: than its parent; seconds: of evaluations", "dim"),),
        (),
        (Span("At this pace", "heading"),),
    ]
    return [*lines, *((Span(f"  {line}"),) for line in forecast(model.state))]


def forecast(state: RunState) -> list[str]:
    """Return when each limit of the run is reached if it goes on as it did, one sentence each."""
    rounds, hours = state.rounds_done, state.engine_ms / 3_600_000
    if not rounds or not hours:
        return ["nothing can be said before the first round ends"]
    pace = f"{hours * 3600 / rounds:,.1f} s a round"
    if state.usd:
        pace += f", ${state.usd / rounds:.4f} a round"
    if state.tokens:
        pace += f", {state.tokens / rounds:,.0f} tokens a round"
    told = [pace]
    limits: Mapping[str, tuple[float | None, float]] = {
        "rounds": (state.settings.rounds, rounds), "hours": (state.settings.hours, hours),
        "dollars": (state.settings.usd, state.usd), "tokens": (state.settings.tokens, state.tokens),
    }  # fmt: skip
    ends: list[tuple[float, str]] = []
    for name, (limit, spent) in limits.items():
        if limit is None:
            continue
        if spent >= limit:
            ends.append((0.0, f"the limit of {limit:,g} {name} is reached"))
        elif spent:
            left = (limit - spent) / spent
            what = f"{limit:,g} {name} in {describe_span(int(left * hours * 3_600_000))}"
            ends.append((left, f"{what}, at round {rounds + left * rounds:,.0f}, ${state.usd * (1 + left):.2f} in all"))
        else:
            told.append(f"nothing counts towards the limit of {limit:,g} {name} yet")
    return told + [text for _, text in sorted(ends)]


def _shares(kind: str, items: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for item in items:
        yield (
            one_line(item[kind], 24), f"{item['asked']:,}", f"{item['share']:.0%}", f"{item['designs']:,}",
            f"{item['gained']:,}", f"{item['gain']:+.4g}", f"{item['usd']:.4f}", f"{item['tokens']:,}",
        )  # fmt: skip


def _models(model: RunModel) -> Iterator[Sequence[str]]:
    flying = [event.data for event in model.state.calls.values() if isinstance(event.data, CallStarted)]
    gains = _gains(model, model.spending.model_of)
    for (name, role), sums in sorted(model.spending.by_model.items()):
        now = sum(call.model == name and call.role == role for call in flying)
        # A gain is a model's: it stands once, with the role that designs.
        designs = "researcher" if (name, "researcher") in model.spending.by_model else "fixer"
        gain = f"{gains.get(name, 0.0):+.4g}" if role == designs else ""
        yield (
            f"{one_line(name, 24)}, {role}", f"{sums.calls:,}", f"{now}" if now else "", f"{sums.errors:,}",
            f"{sums.tokens_in:,}", f"{sums.cached / sums.tokens_in:.0%}" if sums.tokens_in else "–",
            f"{sums.tokens_out:,}", f"{sums.seconds:,.0f}", f"{sums.usd:.4f}", gain,
        )  # fmt: skip


def _operators(model: RunModel) -> Iterator[Sequence[str]]:
    for operator, sums in sums_by(model, "operator").items():
        yield (
            one_line(operator, 17), f"{sums.nodes:,}", f"{sums.fine:,}", f"{sums.better:,}", f"{sums.bests:,}",
            f"{sums.gain:+.4g}" if sums.gain else "", f"{sums.seconds:,.0f}",
        )  # fmt: skip


def _gains(model: RunModel, key: Callable[[Node], str | None]) -> dict[str, float]:
    """Return by how much the new bests of each model raised the best."""
    sums: dict[str, float] = {}
    for before, step in pairwise(model.state.best_steps):
        name = key(model.state.nodes[step.node])
        gain = model.state.ranking.gain(step, before)
        if name is not None and gain is not None:
            sums[name] = sums.get(name, 0.0) + gain
    return sums
