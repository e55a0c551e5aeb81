"""Which model of the researcher designs next, by what each has brought for what it cost."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

from engine.state.model_record import ModelRecord
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["choose_model", "count_design", "models_entry", "researchers"]

_EXPLORE = 0.5
"""Weight of the exploration term: a run asks far less often than the theory's horizon."""
_DOUBT = 2.0
"""Designs in vain that each model begins with; its weight, relative to the mean, is how many gains."""
_LEAST_COST = 1e-12
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

    A design is a gain if its node stands above its parent by more than noise; one that is refused is none. Each model
    has the chance of a gain, with the weight as a prior, and a mean cost, with its price as a prior.

    - `ucb`: argmax of (x_j + sqrt(2 ln t / n_j)) / c_j, fractional KUBE of Tran-Thanh, Chapman, Rogers and Jennings,
      "Knapsack based Optimal Policies for Budget-Limited Multi-Armed Bandits", AAAI 2012, with the mean cost so far as
      c_j and half of the second term. A design in flight counts as one in vain.
    - `thompson`: argmax of θ_j / c_j, θ_j drawn from the Beta posterior of the chance, after Xia, Li, Qin, Yu and Liu,
      "Thompson Sampling for Budgeted Multi-armed Bandits", IJCAI 2015, with the mean cost in place of a drawn one.

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
    gains, vain = {}, {}
    for name, weight in weights.items():
        record = state.models.get(name, ModelRecord())
        gains[name] = weight + record.gained
        vain[name] = _DOUBT + max(0, record.asked - record.gained) + flying[name]
    if rule == "thompson":
        values = {name: rng.betavariate(gains[name], vain[name]) / costs[name] for name in weights}
    else:
        tries = {name: gains[name] + vain[name] for name in weights}
        total = math.log(sum(tries.values()))
        values = {
            name: (gains[name] / tries[name] + _EXPLORE * math.sqrt(2 * total / tries[name])) / costs[name]
            for name in weights
        }
    best = max(values.values())
    return rng.choice([name for name, value in values.items() if value == best])


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
    return {name: max((scale * guesses[name] + spent[name]) / (1 + records[name].asked), _LEAST_COST) for name in names}


def count_design(state: RunState, node: Node) -> None:
    """Count a design that was measured for the first time for the model that wrote it."""
    if not node.model or not node.parents:
        return
    record = state.models.setdefault(node.model, ModelRecord())
    record.designs += 1
    before = state.nodes[node.parents[0]].standing
    if state.gained(node.id, node.parents[0]):
        record.gained += 1
        if before is not None and node.standing is not None:
            record.gain += min(node.standing - before, 1e300)


def models_entry(state: RunState) -> list[dict[str, Any]]:
    """Return what each model brought as data.

    `asked` is its answers to designs, `share` those among all models', `designs` how many were measured, `gained` how
    many of them stand above their parent, `gain` the sum of that in fitness, `usd` and `tokens` what its designs cost.
    """
    asked = sum(record.asked for record in state.models.values())
    return [
        {
            "model": name, "asked": record.asked, "share": record.asked / asked if asked else 0.0,
            "designs": record.designs, "gained": record.gained, "gain": record.gain, "usd": record.usd,
            "tokens": record.tokens,
        }
        for name, record in state.models.items()
        if record.asked
    ]  # fmt: skip
