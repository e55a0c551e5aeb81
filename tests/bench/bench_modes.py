"""Ways of writing by what they bring, against fixed weights, on the landscapes of the samplers' benchmark, paired.

The search and its choices are the engine's. Answers are mocked: `diff` is a small edit, `full` a large one, `crossover`
a mix with a node beside and a small edit, `fix` the program that a failed answer was to be. One answer in twelve fails.
Searches of a model end after equal tokens, those without one after equal evaluations.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.journal import events as ev
from engine.llm.requests import Mode
from engine.runs.paired import interval
from engine.samplers.base import Sample
from engine.state.mode_choice import choose_mode
from engine.state.run_state import RunState
from tests.bench.landscapes import FAILS, LANDSCAPES, Landscape, Vector
from tests.engine.searches import Search

TOKENS: dict[Mode, int] = {"full": 4500, "diff": 3500, "crossover": 4500, "fix": 3500}
"""Of a design: a prompt of 3,000, and an answer of edits or of a whole program."""
USUAL = 0.35 * 4500 + 0.65 * 3500
"""Tokens of a round by the default weights."""
FAILURES_LOOKED_AT = 8
RULES = ("weights", "ucb", "thompson")


def main(full: bool, rounds: int | None = None, repeats: int | None = None) -> list[dict[str, Any]]:
    """Compare every rule with fixed weights, with tokens and without.

    Args:
        full: 30 seeds of 400 rounds instead of 6 of 100.
        rounds: of a search by fixed weights; others get as many tokens.
        repeats: seeds; the n-th search of every rule begins at the same program.
    """
    rounds, repeats = rounds or (400 if full else 100), repeats or (30 if full else 6)
    made = []
    for priced in (True, False):
        found: dict[tuple[str, str], list[tuple[float, Counter[str]]]] = {}
        for landscape in LANDSCAPES:
            for rule in RULES:
                found[landscape.name, rule] = [search(landscape, rule, seed, rounds, priced) for seed in range(repeats)]
            print(f"  {landscape.name}", file=sys.stderr, flush=True)
        made += rows(found, rounds, repeats, priced)
    return made


def search(
    landscape: Landscape, rule: str, seed: int, rounds: int, priced: bool, **sampler: Any
) -> tuple[float, Counter[str]]:
    """Return the score, without noise, of the best node, and how often each way of writing was chosen."""
    run = Search(settings={"designer": {"choice": rule}}, **sampler)
    begin = random.Random(f"{landscape.name} {seed} begin")
    programs: list[Vector] = [landscape.start(begin)]
    run.add(landscape.score(programs[0]) + begin.gauss(0, landscape.noise), round=0)
    run.crown(0)
    chance, model = random.Random(f"{seed} sampler"), random.Random(f"{landscape.name} {seed} model")
    taken = Counter[str]()
    while (run.state.tokens < rounds * USUAL) if priced else (run.state.rounds_done < rounds):
        sample = run.sample(chance)
        failed = list(islice(reversed(run.state.failed), FAILURES_LOOKED_AT))
        mode = _mode(run.state, rule, bool(sample.inspirations), bool(failed), chance)
        taken[mode] += 1
        if mode == "fix":
            sample = Sample(chance.choice(failed), sample.inspirations, "failed")
        run.learn(sample, mode=mode)
        beside = model.choice(sample.inspirations) if mode == "crossover" else None
        parent = programs[sample.parent]
        made = parent if mode == "fix" else landscape.edit(
            parent if beside is None else landscape.mix(parent, programs[beside], model), model, mode == "full"
        )  # fmt: skip
        score = None if model.random() < FAILS else landscape.score(made) + model.gauss(0, landscape.noise)
        programs.append(made)
        if priced:
            call, number = run.state.last_call + 1, run.state.rounds_started
            run.apply(ev.CallStarted(call, "researcher", "m", key="design/0"), round=number)
            done = ev.CallDone(call, "researcher", "m", tokens_out=TOKENS[mode], key="design/0")
            run.apply(done, round=number)
        run.end(sample, score, "\n".join(f"{value:.3g}" for value in made), True, beside)
    assert run.state.best is not None
    return landscape.score(programs[run.state.best]), taken


def _mode(state: RunState, rule: str, company: bool, failures: bool, rng: random.Random) -> Mode:
    settings = state.settings.designer.modes
    weights: dict[Mode, float] = {mode: getattr(settings, mode) for mode in TOKENS}
    possible: list[Mode] = ["full", "diff", *(["crossover"] * company), *(["fix"] * failures)]
    if rule == "weights":
        return rng.choices(possible, [weights[mode] for mode in possible])[0]
    return choose_mode(state, weights, possible, rng)


def rows(
    found: dict[tuple[str, str], list[tuple[float, Counter[str]]]], rounds: int, repeats: int, priced: bool
) -> list[dict[str, Any]]:
    """Return a row for each rule: its mean gain over fixed weights on all landscapes, and on each in the note."""
    made = []
    for rule in RULES:
        gains, notes, taken = [], [], Counter[str]()
        for landscape in LANDSCAPES:
            base, ours = ([best for best, _ in found[landscape.name, which]] for which in ("weights", rule))
            shares = sum((counts for _, counts in found[landscape.name, rule]), Counter[str]())
            taken += shares
            scale = statistics.stdev(base) or 1.0
            paired = [(a - b) / scale for a, b in zip(ours, base, strict=True)]
            gains.append(paired)
            mean, low, high = interval(paired)
            mark = "" if low <= 0 <= high else "*"
            notes.append(f"{landscape.name} {statistics.fmean(ours):.4g} ({mean:+.2f}{mark}; {_shares(shares)})")
        mean, low, high = interval([statistics.fmean(each) for each in zip(*gains, strict=True)])
        note = (
            f"95 % {low:+.2f} to {high:+.2f}, {repeats} seeds of {rounds} rounds, {_shares(taken)}; mean best: "
            + "; ".join(notes)
        )
        name = f"{rule}, {'equal tokens' if priced else 'no tokens, equal evaluations'}"
        made.append({"name": name, "value": mean, "unit": "sd", "budget": "", "note": note})
    return made


def _shares(taken: Counter[str]) -> str:
    whole = sum(taken.values()) or 1
    return " ".join(f"{mode} {taken[mode] / whole:.0%}" for mode in TOKENS)
