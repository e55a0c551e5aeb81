"""What had been spent when each node was measured, and what each round's calls cost: the axes of plots."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, replace
from typing import NamedTuple

from engine.journal import events as ev
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["ACTS", "Act", "Spending", "Spent"]

ACTS = frozenset((
    ev.Injected, ev.NodePinned, ev.NodeUnpinned, ev.NodePruned, ev.NodeRestored, ev.NodeStarred, ev.NodeCommented,
    ev.NodeRerun, ev.SettingsChanged, ev.PriorChanged, ev.PriorAccepted, ev.PriorRejected, ev.RunForked,
    ev.ActUndone,
))  # fmt: skip
"""Events by which people act on a run."""


_BY_MODELS = frozenset(("full", "diff", "crossover", "fix"))
"""Operators by which models design."""


class Spent(NamedTuple):
    """Where a run stood."""

    node: float
    """The newest node."""
    round: float
    seconds: float
    """Time that an engine worked."""
    usd: float
    tokens: float


class Act(NamedTuple):
    """An act of a person, and where the run stood then."""

    kind: str
    spent: Spent


@dataclass
class Sums:
    """Sums over the calls of a model in a role."""

    calls: int = 0
    errors: int = 0
    tokens_in: int = 0
    cached: int = 0
    """How many of `tokens_in` the endpoint had cached."""
    tokens_out: int = 0
    seconds: float = 0.0
    usd: float = 0.0


class Spending:
    """Sums by node and by round, kept as numbers: a run may have ten thousand of each."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.by_model: dict[tuple[str, str], Sums] = {}
        """Sums over the calls of each model in each role."""
        self._seconds = array("d")
        self._usd = array("d")
        self._tokens = array("d")
        self._round_usd: dict[int, float] = {}
        self._round_tokens: dict[int, int] = {}
        self._round_model: dict[int, str] = {}

    def copy(self) -> Spending:
        """Return an independent copy."""
        twin = Spending()
        twin.acts = self.acts.copy()
        twin.by_model = {key: replace(sums) for key, sums in self.by_model.items()}
        twin._seconds, twin._usd, twin._tokens = self._seconds[:], self._usd[:], self._tokens[:]
        twin._round_usd, twin._round_tokens = self._round_usd.copy(), self._round_tokens.copy()
        twin._round_model = self._round_model.copy()
        return twin

    def take_call(self, round_: int | None, data: ev.CallDone) -> None:
        """Add a call to its model and its round."""
        sums = self.by_model.setdefault((data.model, data.role), Sums())
        sums.calls += 1
        sums.errors += bool(data.error)
        sums.tokens_in += data.tokens_in
        sums.cached += data.tokens_cached
        sums.tokens_out += data.tokens_out
        sums.seconds += data.seconds
        sums.usd += data.usd
        if round_ is not None:
            self._round_usd[round_] = self._round_usd.get(round_, 0.0) + data.usd
            self._round_tokens[round_] = self._round_tokens.get(round_, 0) + data.tokens_in + data.tokens_out
            if data.role in ("researcher", "fixer"):
                self._round_model[round_] = data.model

    def take_node(self, node: int, state: RunState) -> None:
        """Note what was spent when a node was first measured."""
        missing = node + 1 - len(self._seconds)
        if missing > 0:
            for values in (self._seconds, self._usd, self._tokens):
                values.extend([math.nan] * missing)
        if math.isnan(self._seconds[node]):
            self._seconds[node] = state.engine_ms / 1000
            self._usd[node] = state.usd
            self._tokens[node] = state.tokens

    def take_act(self, data: ev.Data, state: RunState) -> None:
        """Note an act."""
        spent = Spent(max(0, len(state.nodes) - 1), state.rounds_done, state.engine_ms / 1000, state.usd, state.tokens)
        self.acts.append(Act(data.KIND, spent))

    def at_node(self, name: str, node: int) -> float | None:
        """Return the `seconds`, `usd` or `tokens` spent when a node was measured; None if it is not."""
        values = {"seconds": self._seconds, "usd": self._usd, "tokens": self._tokens}[name]
        value = values[node] if node < len(values) else math.nan
        return None if math.isnan(value) else value

    def of_round(self, name: str, round_: int) -> float | None:
        """Return the `usd` or `tokens` of a round's calls; None if it made none."""
        return (self._round_usd if name == "usd" else self._round_tokens).get(round_)

    def model_of(self, node: Node) -> str | None:
        """Return the model that wrote a node's program; None if none did.

        A round whose model gave no usable answer may end with an edit that no model made.
        """
        return self._round_model.get(node.round) if node.operator in _BY_MODELS else None
