"""Which way of writing designs next, by what each has brought for what it cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from engine.journal.events import CallDone
from engine.state.bandit import Arm, DesignRecord, Name, choose_for_cost
from engine.state.model_choice import DOUBT, entry_of
from engine.state.node import OpenRound
from engine.state.run_state import RunState

__all__ = ["choose_mode", "count_asked", "count_cost", "describe_modes", "modes_entry"]


def choose_mode(state: RunState, weights: Mapping[Name, float], possible: Collection[Name], rng: random.Random) -> Name:
    """Return the way to write the next design, by the rule that the settings name.

    The chance of a gain has the weight as a prior. A design costs its tokens; as long as no tokens are known, each
    costs the same. One in flight counts as one in vain.

    Args:
        state: the run; its `designer.choice` is not `weights`.
        weights: of all ways that the designer has, each above 0.
        possible: those of them that the round allows, at least one.
        rng: the only source of chance.
    """
    mean = sum(weights.values()) / len(weights)
    records = {mode: state.modes.get(mode, DesignRecord()) for mode in weights}
    flying = Counter[str](
        round_.learned.mode for round_ in state.open_rounds.values() if round_.learned and round_.node is None
    )
    asked = sum(record.asked for record in records.values())
    tokens = sum(record.tokens for record in records.values())
    usual = tokens / asked if asked else 0.0
    arms: dict[Name, Arm] = {}
    for mode in weights:
        if mode in possible:
            record = records[mode]
            vain = max(0, record.asked - record.gained) + flying[mode]
            # Each begins with one design at the cost of all, so that none looks dear or cheap before it was tried.
            cost = (usual + record.tokens) / (1 + record.asked) if usual else 1.0
            arms[mode] = Arm(weights[mode] / mean + record.gained, DOUBT + vain, cost)
    return choose_for_cost(arms, state.settings.designer.choice, rng)


def count_asked(state: RunState, round_: OpenRound | None) -> None:
    """Count a round whose design came, or did not come in any attempt, for its way of writing."""
    if round_ is not None and round_.learned is not None:
        state.modes.setdefault(round_.learned.mode, DesignRecord()).asked += 1


def count_cost(state: RunState, round_: OpenRound | None, done: CallDone) -> None:
    """Count what an attempt at a design cost, for the way of writing of its round.

    One that comes from the record of another run counts with what it took there, so that the same is chosen again.
    """
    if round_ is not None and round_.learned is not None:
        record = state.modes.setdefault(round_.learned.mode, DesignRecord())
        record.usd += done.usd
        record.tokens += done.tokens_in + done.tokens_out + done.tokens_there


def modes_entry(state: RunState) -> list[dict[str, Any]]:
    """Return what each way of writing brought as data; the keys are those of models, with `mode` for the name."""
    return entry_of("mode", state.modes)


def describe_modes(state: RunState) -> str:
    """Return share and gains of each way of writing in one line; empty if there are fewer than two."""
    found = modes_entry(state)
    if len(found) < 2:
        return ""
    return ", ".join(
        f"{item['mode']} {item['asked']:,} ({item['share']:.0%}; {item['gained']:,} better, {item['gain']:+.4g})"
        for item in sorted(found, key=lambda item: -item["asked"])
    )
