"""The choice of a model by what each gained for its cost: formulas, priors, and a search that finds the better one."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.state.fold import fold
from engine.state.model_choice import choose_model, models_entry, researchers
from engine.state.model_record import ModelRecord
from tests.engine.searches import Search

COUNTS = st.tuples(st.integers(0, 30), st.integers(0, 30), st.floats(0, 5))


def search(choice: str, prices: dict[str, float | None], per: str = "usd", **weights: float) -> Search:
    models = {name: {"model": name, **({"price_out": price} if price else {})} for name, price in prices.items()}
    roles = {"choice": choice, "per": per, "researcher": weights}
    return Search(settings={"models": models, "roles": roles})


def design(run: Search, model: str, score: float | None, usd: float = 0.0, tokens: int = 0) -> None:
    """One round: the model answers, and its program is measured if it has a score."""
    number = run.state.rounds_started + 1
    run.apply(ev.RoundStarted(), round=number)
    run.apply(ev.LearnDone(0, model=model), round=number)
    call = run.state.last_call + 1
    run.apply(ev.CallStarted(call, "researcher", model, key="design/0"), round=number)
    done = ev.CallDone(call, "researcher", model, "a" * 64, tokens_out=tokens, usd=usd, key="design/0")
    run.apply(done, round=number)
    if score is None:
        run.apply(ev.DesignRejected(0, "syntax", "line 1"), round=number)
        run.apply(ev.RoundEnded("no_design"), round=number)
    else:
        run.add(score, [0], round=number)
        run.apply(ev.RoundEnded("node"), round=number)


def test_nothing_is_chosen_by_weight_or_among_one() -> None:
    for run in (
        search("weights", {"a": 1.0, "b": 2.0}),
        search("ucb", {"a": 1.0}),
        search("ucb", {"a": 1, "b": 1}, a=1.0),
    ):
        run.add(0.0, round=0)
        assert choose_model(run.state, random.Random(1)) == ""


@given(st.dictionaries(st.sampled_from("abc"), COUNTS, min_size=2), st.integers(0, 50))
def test_ucb_takes_the_highest_bound_for_its_cost(found: dict[str, tuple[int, int, float]], seed: int) -> None:
    run = search("ucb", dict.fromkeys(found, 2.0), a=3.0, b=1.0, c=1.0)
    run.add(0.0, round=0)
    values, tries = {}, {}
    for name, (gained, vain, usd) in found.items():
        run.state.models[name] = ModelRecord(asked=gained + vain, gained=gained, usd=usd)
    assumed = sum(0.002 * (gained + vain) for gained, vain, _ in found.values())
    spent = sum(usd for _, _, usd in found.values())
    scale = spent / assumed if assumed and spent else 1.0
    weights = researchers(run.state)
    assert sum(weights.values()) == pytest.approx(len(weights))
    for name, (gained, vain, _) in found.items():
        tries[name] = weights[name] + 2 + gained + vain
    for name, (gained, vain, usd) in found.items():
        rate = (weights[name] + gained) / tries[name]
        bound = rate + 0.5 * math.sqrt(2 * math.log(sum(tries.values())) / tries[name])
        values[name] = bound / max((0.002 * scale + usd) / (1 + gained + vain), 1e-12)
    chosen = choose_model(run.state, random.Random(seed))
    assert values[chosen] == pytest.approx(max(values.values()))
    run.state.settings = search("thompson", dict.fromkeys(found, 2.0)).state.settings
    drawn = [choose_model(run.state, random.Random(seed)) for _ in range(2)]
    assert drawn[0] == drawn[1] and drawn[0] in found


@pytest.mark.parametrize("choice", ["ucb", "thompson"])
def test_what_gains_for_its_cost_designs_most(choice: str) -> None:
    def share(prices: dict[str, float | None], costs: dict[str, float], per: str = "usd") -> Counter[str]:
        run, rng, taken = search(choice, prices, per), random.Random(5), Counter[str]()
        run.add(0.0, round=0)
        for number in range(80):
            model = choose_model(run.state, random.Random(number))
            taken[model] += 1
            gains = rng.random() < (0.6 if model == "good" else 0.2)
            design(run, model, 1.0 if gains else None if rng.random() < 0.3 else -1.0, costs[model], 1000)
        assert vars(fold(run.events)) == vars(run.state)
        entry: dict[str, Any] = {item["model"]: item for item in models_entry(run.state)}
        assert sum(item["share"] for item in entry.values()) == pytest.approx(1.0)
        assert all(entry[name]["asked"] == taken[name] for name in taken)
        assert all(item["gain"] == item["gained"] and item["designs"] <= item["asked"] for item in entry.values())
        return taken

    alike = share({"good": 1.0, "bad": 1.0}, {"good": 0.01, "bad": 0.01})
    assert alike["good"] > 2 * alike["bad"]
    dear = share({"good": 10.0, "bad": 1.0}, {"good": 0.1, "bad": 0.01})
    assert dear["bad"] > dear["good"], "three times the gains at ten times the cost are worse"
    tokens = share({"good": 10.0, "bad": 1.0}, {"good": 0.1, "bad": 0.01}, "tokens")
    assert tokens["good"] > tokens["bad"]
    unpriced = share({"good": None, "bad": 1.0}, {"good": 0.0, "bad": 0.01})
    assert unpriced["good"] > unpriced["bad"]


def test_weights_decide_at_first_and_what_is_in_flight_counts() -> None:
    run = search("ucb", {"a": 1.0, "b": 1.0}, a=1.0, b=4.0)
    run.add(0.0, round=0)
    assert choose_model(run.state, random.Random(1)) == "b"
    for number in range(1, 12):
        run.apply(ev.RoundStarted(), round=number)
        run.apply(ev.LearnDone(0, model="b"), round=number)
    assert choose_model(run.state, random.Random(1)) == "a"
