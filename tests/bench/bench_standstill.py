"""Actions against a standstill on the landscapes of the samplers' benchmark: the same search with and without, paired.

The search, the decisions and the draws are the engine's; answers are mocked as there. Of the actions those are compared
that answers can show: `explore`, `restart`, and `modes` as more large edits and more mixes with the nodes beside.
"""

from __future__ import annotations

import random
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from engine.journal import events as ev
from engine.runs.paired import interval
from engine.samplers.detours import detour
from engine.samplers.standstill import acts_on, due
from engine.settings.standstill import Action
from tests.bench.landscapes import LANDSCAPES, Landscape, Vector, answer
from tests.engine.searches import Search

SAMPLER: dict[str, Any] = {}
"""Its settings; by default the defaults."""
TELL = "tell"
POSSIBLE: tuple[Action, ...] = ("modes", "explore", "restart")
VARIANTS: dict[str, dict[str, Any]] = {
    TELL: {"action": "tell"},
    "modes": {"action": "act", "actions": ["modes"]},
    "explore": {"action": "act", "actions": ["explore"]},
    "restart": {"action": "act", "actions": ["restart"]},
    "act": {"action": "act"},
}


def main(full: bool, rounds: int | None = None, repeats: int | None = None) -> list[dict[str, Any]]:
    """Compare every variant with a search that only tells of standstills.

    Args:
        full: 30 seeds of 400 rounds instead of 6 of 200.
        rounds: of a search.
        repeats: seeds; the n-th search of every variant begins at the same program.
    """
    rounds, repeats = rounds or (400 if full else 200), repeats or (30 if full else 6)
    found: dict[tuple[str, str], list[tuple[float, int, int]]] = {}
    for landscape in LANDSCAPES:
        for name, settings in VARIANTS.items():
            found[landscape.name, name] = [search(landscape, settings, seed, rounds) for seed in range(repeats)]
        print(f"  {landscape.name}", file=sys.stderr, flush=True)
    return rows(found, rounds, repeats)


def search(landscape: Landscape, standstill: dict[str, Any], seed: int, rounds: int) -> tuple[float, int, int]:
    """Return the score, without noise, of the best node, and how many standstills the search had and got out of."""
    run = Search(settings={"standstill": standstill}, **SAMPLER)
    begin = random.Random(f"{landscape.name} {seed} begin")
    programs: list[Vector] = [landscape.start(begin)]
    run.add(landscape.score(programs[0]) + begin.gauss(0, landscape.noise), round=0)
    run.crown(0)
    run.apply(ev.NoiseMeasured(3, landscape.noise, 0.0))
    chance, model = random.Random(f"{seed} sampler"), random.Random(f"{landscape.name} {seed} model")
    began = 0
    for _ in range(rounds):
        state = run.state
        for event in due(state, POSSIBLE, random.Random(f"{seed} {state.standstill.actions}"), lambda acted: acted):
            began += isinstance(event, ev.StandstillBegan)
            run.apply(event)
        action = acts_on(state, state.rounds_started + 1, chance)
        sample = run.sample(chance)
        taken = detour(state, sample, 2, chance) if action in ("explore", "restart") else None
        sample = taken or sample
        run.learn(sample, action if taken is not None or action == "modes" else "")
        beside = [programs[node] for node in sample.inspirations]
        chances = {"large": 0.4, "mixes": 0.3} if action == "modes" else {}
        made = answer(landscape, programs[sample.parent], beside, model, **chances)
        programs.append(programs[sample.parent] if made is None else made)
        score = None if made is None else landscape.score(made) + model.gauss(0, landscape.noise)
        code = "\n".join(f"x[{at}] = {value:.3g}" for at, value in enumerate(programs[-1]))
        run.end(sample, score, code, crown=True)
    assert run.state.best is not None
    return landscape.score(programs[run.state.best]), began, began - (run.state.standstill.began is not None)


def rows(found: dict[tuple[str, str], list[tuple[float, int, int]]], rounds: int, repeats: int) -> list[dict[str, Any]]:
    """Return a row for each variant: its mean gain over telling alone on all landscapes, and on each in the note."""
    made = []
    for name in VARIANTS:
        gains, notes = [], []
        for landscape in LANDSCAPES:
            base, ours = ([best for best, _, _ in found[landscape.name, which]] for which in (TELL, name))
            stood, out = (sum(each[at] for each in found[landscape.name, name]) / repeats for at in (1, 2))
            scale = statistics.stdev(base) or 1.0
            paired = [(a - b) / scale for a, b in zip(ours, base, strict=True)]
            gains.append(paired)
            mean, low, high = interval(paired)
            mark = "" if low <= 0 <= high else "*"
            told = f"stood still {stood:.1f}×, out {out:.1f}×"
            notes.append(f"{landscape.name} {statistics.fmean(ours):.4g} ({mean:+.2f}{mark}), {told}")
        mean, low, high = interval([statistics.fmean(each) for each in zip(*gains, strict=True)])
        note = f"95 % {low:+.2f} to {high:+.2f}, {repeats} seeds of {rounds} rounds; mean best: " + "; ".join(notes)
        made.append({"name": name, "value": mean, "unit": "sd", "budget": "", "note": note})
    return made
