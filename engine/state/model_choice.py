"""Which model of the researcher designs next, by what each has brought for what it cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.state.bandit import Arm, DesignRecord, choose_for_cost
from engine.state.model_record import ModelRecord
from engine.state.run_state import RunState

__all__ = ["DOUBT", "choose_model", "entry_of", "models_entry", "researchers"]

DOUBT = 2.0
"""Designs in vain that each choice begins with; its weight, relative to the mean, is how many gains."""
_PROMPT, _ANSWER = 3_000, 1_000
"""Tokens that a design is assumed to take before the first one."""


def researchers(state: RunState) -> dict[str, float]:
    """Return the models that may design, with their weights; the mean weight is 1."""
    known = state.settings.models
    weights = {name: weight for name, weight in state.settings.roles.researcher.items() if name in known and weight > 0}
    weights = weights or dict.fromkeys(known, 1.0)
    mean = sum(weights.values()) / len(weights) if weights else 1.0
    return {name: weight / mean for name, weight in weights.items()}


def choose_model(state: RunState, rng: random.Random) -> str:
    """Return the model for the next design; empty if the settings ask for no choice, or leave none.

    A design that is refused gains nothing. Each model has the chance of a gain, with the weight as a prior, and a mean
    cost, with its price as a prior; a design in flight counts as one in vain.

    Args:
        state: the run.
        rng: the only source of chance.
    """
    weights = researchers(state)
    rule = state.settings.roles.choice
    if rule == "weights" or len(weights) < 2 or state.settings.answers:
        # Recorded answers cost nothing, and their record says which model gave each.
        return ""
    flying = Counter(
        round_.learned.model for round_ in state.open_rounds.values() if round_.learned and round_.node is None
    )
    costs = _costs(state, list(weights))
    arms = {}
    for name, weight in weights.items():
        record = state.models.get(name, ModelRecord())
        vain = max(0, record.asked - record.gained) + flying[name]
        arms[name] = Arm(weight + record.gained, DOUBT + vain, costs[name])
    return choose_for_cost(arms, rule, rng)


def _costs(state: RunState, names: list[str]) -> dict[str, float]:
    """Return the mean cost of each model's design: dollars if the settings say so and all have a price, else tokens.

    Each begins with one design at its price. That is scaled by how much more the designs of all have cost than was
    assumed, so that a model which was not asked yet looks neither dear nor cheap for it.
    """
    specs = {name: state.settings.models[name] for name in names}
    records = {name: state.models.get(name, ModelRecord()) for name in names}
    dollars = state.settings.roles.per == "usd" and all(spec.priced for spec in specs.values())
    guesses = dict.fromkeys(names, float(_PROMPT + _ANSWER))
    if dollars:
        guesses = {n: ((s.price_in or 0.0) * _PROMPT + (s.price_out or 0.0) * _ANSWER) / 1e6 for n, s in specs.items()}
    spent = {name: record.usd if dollars else float(record.tokens) for name, record in records.items()}
    assumed = sum(guesses[name] * records[name].asked for name in names)
    scale = sum(spent.values()) / assumed if assumed and sum(spent.values()) else 1.0
    return {name: (scale * guesses[name] + spent[name]) / (1 + records[name].asked) for name in names}


def models_entry(state: RunState) -> list[dict[str, Any]]:
    """Return what each model brought as data.

    `asked` is its answers to designs, `share` those among all models', `designs` how many were measured, `gained` how
    many of them stand above what they were made from, `gain` the sum of that in fitness, `usd` and `tokens` what its
    designs cost.
    """
    return entry_of("model", state.models)


def entry_of(kind: str, records: Mapping[str, DesignRecord]) -> list[dict[str, Any]]:
    """Return what the designs of each model, or of each way of writing, brought and cost, as data."""
    asked = sum(record.asked for record in records.values())
    return [
        {
            kind: name, "asked": record.asked, "share": record.asked / asked if asked else 0.0,
            "designs": record.designs, "gained": record.gained, "gain": record.gain, "usd": record.usd,
            "tokens": record.tokens,
        }
        for name, record in records.items()
        if record.asked
    ]  # fmt: skip
