"""Early stop on learning curves: what it saves, and how many winners it stops by mistake."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

from engine.evaluation.curve import Curve
from engine.evaluation.early_stop import MedianRule, RunningCurve
from engine.task.spec import EarlyStop

_STEPS = 50
_SETTINGS = EarlyStop(value="loss", direction="minimize", from_step=5.0)


def main(full: bool) -> list[dict[str, Any]]:
    """Synthetic searches of 200 nodes: noisy power-law curves whose order at the start is not that at the end."""
    searches = [_search(random.Random(seed)) for seed in range(200 if full else 40)]
    saved = [1.0 - search["run"] / search["all"] for search in searches]
    wrong = [search["winners stopped"] / search["winners"] for search in searches]
    top = [search["top stopped"] / search["top"] for search in searches]
    loss = [search["best kept"] - search["best"] for search in searches]
    note = f"{len(searches)} searches of 200 nodes, {_STEPS} steps each"

    def row(name: str, values: list[float], unit: str, note: str = "") -> dict[str, Any]:
        told = f"deviation {statistics.stdev(values):.2g}{'; ' if note else ''}{note}"
        return {"name": name, "value": statistics.fmean(values), "unit": unit, "budget": "", "note": told}

    return [
        row("steps that early stop saves", [100 * value for value in saved], "%", note),
        row("would-be new bests that it stops", [100 * value for value in wrong], "%"),
        row("nodes of the best tenth that it stops", [100 * value for value in top], "%"),
        row("final loss that it costs", loss, "", "spread of final losses of all nodes is about 0.25"),
    ]


def _search(rng: random.Random) -> dict[str, float]:
    """One search, each node with a curve a + b·t^(−c) + noise, better ones coming as the search goes on."""
    rule = MedianRule(_SETTINGS)
    finals, stopped = [], []
    run = 0
    for node in range(200):
        floor = 1.0 + rng.gauss(0, 0.25) - 0.3 * math.log1p(node / 20)
        height, slope = rng.uniform(1.0, 3.0), rng.uniform(0.4, 1.0)
        curve, running, given_up = Curve(), RunningCurve(rule), False
        value = math.inf
        for step in range(1, _STEPS + 1):
            value = floor + height * step**-slope + rng.gauss(0, 0.03)
            if not given_up:
                run += 1
                curve.add(float(step), {"loss": value})
                given_up = bool(running.should_stop(float(step), {"loss": value}))
        finals.append(value)
        stopped.append(given_up)
        if not given_up:
            rule.add(curve.points())
    winners = [node for node, final in enumerate(finals) if final < min(finals[:node], default=math.inf)]
    top = sorted(range(len(finals)), key=finals.__getitem__)[: len(finals) // 10]
    return {
        "run": run,
        "all": len(finals) * _STEPS,
        "winners": len(winners),
        "winners stopped": sum(stopped[node] for node in winners),
        "top": len(top),
        "top stopped": sum(stopped[node] for node in top),
        "best": min(finals),
        "best kept": min(final for final, gone in zip(finals, stopped, strict=True) if not gone),
    }
