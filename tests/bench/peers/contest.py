"""Whose search is better: each system on a landscape with the same mock answers, by the best after so many programs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import EvolveError, UsageError
from engine.runs.paired import interval
from engine.text import counted
from tests.bench import landscapes
from tests.bench.peers.measure import environment_of, last_line
from tests.bench.peers.sides import OpenEvolve, Ours, Shinka, Side
from tests.bench.peers.task import Problem, compose
from tests.bench.peers.tree import Tree
from tests.bench.search.model import EditingModel
from tests.bench.search.tasks import CHOSEN, landscape_toml, program, start_of

__all__ = ["PLACES", "best_after", "contest_rows", "contestants", "play"]

PLACES = (50, 100, 200, 400)
_SILENCE = 300.0
"""Seconds without a request after which a system is given up."""

_SCORE = """\
{path}from landscapes import LANDSCAPES

LANDSCAPE = next(landscape for landscape in LANDSCAPES if landscape.name == "{name}")


def score(numbers):
    found = LANDSCAPE.score(tuple(map(float, numbers)))
{noted}    return found
"""
_NOTED = "    _note(repr(found))\n"
_NOTE = """\


def _note(line):
    import pathlib

    with open(pathlib.Path(__file__).with_name("scores"), "a") as file:
        file.write(line + "\\n")


def note_time():
    _note("begin")
"""


def contestants(sides: Sequence[Side]) -> list[Side]:
    """Return one form of each system, by a short name: how it starts a program changes no score."""
    chosen: dict[str, Side] = {}
    for side in sides:
        name = "ours" if isinstance(side, Ours) else "openevolve" if isinstance(side, OpenEvolve) else "shinka"
        wanted = getattr(side, "guarded", False) or getattr(side, "apart", False)
        if not wanted:
            chosen[name] = side
    return list(chosen.values())


def play(side: Side, landscape: str, seed: int, folder: Path, rounds: int) -> list[float | None]:
    """Let a system write so many programs, and return their scores, the initial one's first; None where one failed.

    Args:
        side: the system.
        landscape: a name of `CHOSEN`.
        seed: of the answers, and of the search where the system takes one.
        folder: an empty one.
        rounds: programs to write.

    Raises:
        UsageError: there is no such landscape.
        EvolveError: it ended early, or asked for nothing for five minutes.
    """
    if landscape not in CHOSEN:
        raise UsageError(f"there is no landscape '{landscape}'", f"There are {', '.join(CHOSEN)}")
    assert isinstance(side, Ours | OpenEvolve | Shinka)
    side = dataclasses.replace(side, problem=_problem(landscape, seed))
    # A peer shows the program to improve last, ours first.
    model = EditingModel(improves_last=not isinstance(side, Ours))
    try:
        with Tree() as tree, (folder / "log").open("wb") as log:
            command = side.prepare(folder, model.url, rounds)
            (folder / "state").mkdir(exist_ok=True)
            tree.start(command, folder, environment_of(folder), log)
            while tree.running():
                if time.monotonic() - model.last > _SILENCE:
                    raise EvolveError(f"{side.name} asked for nothing for {_SILENCE:.0f} s: {last_line(folder)}")
                time.sleep(0.05)
            code = tree.main.returncode if tree.main else 0
    finally:
        model.close()
    if code:
        raise EvolveError(f"{side.name} ended with code {code}: {last_line(folder)}")
    return side.scores(folder)


def _problem(name: str, seed: int) -> Problem:
    landscape = CHOSEN[name]
    module = Path(landscapes.__file__)
    # A peer's evaluator has no folder of its own; appended, so that the names there stand back behind all others.
    path = f"import sys\n\nsys.path.append({str(module.parent)!r})\n"

    def evaluator(kind: str) -> str:
        ours = kind in ("open", "guarded")
        score = _SCORE.format(path="" if ours else path, name=name, noted="" if ours else _NOTED)
        return compose(kind, score, _NOTE)

    start = start_of(landscape)
    return Problem(
        brief=f"Choose {len(start)} numbers.",
        seed=program(start),
        toml=landscape_toml(name),
        evaluator=evaluator,
        files={module.name: module.read_text()},
        model=f"{name}.peers.{seed}",
        number=seed,
    )


def best_after(scores: Sequence[float | None], place: int) -> float | None:
    """Return the best of the initial program and the first `place` ones after it; None if there are fewer."""
    known = [score for score in scores[: place + 1] if score is not None]
    return max(known) if len(scores) > place and known else None


def contest_rows(
    scores: Mapping[str, Sequence[Sequence[float | None]]], landscape: str, rounds: int
) -> list[dict[str, Any]]:
    """Return a row for each place and system: the mean of the best, and by how much ours is better.

    Args:
        scores: of the runs of each system, seed by seed, ours first.
        landscape: its name.
        rounds: programs that each run was to write; a run with fewer counts at the last place as it is.
    """
    ours = next(iter(scores))
    rows = []
    for place in (*(place for place in PLACES if place < rounds), rounds):
        best = {
            name: [best_after(run, min(place, len(run) - 1) if place == rounds else place) for run in runs]
            for name, runs in scores.items()
        }
        for name, values in best.items():
            known = [value for value in values if value is not None]
            if not known:
                continue
            mean, low, high = interval(known)
            note = f"95 % {low:.5g} to {high:.5g}, {counted(len(known), 'run')}"
            pairs = [(a, b) for a, b in zip(best[ours], values, strict=True) if a is not None and b is not None]
            if name != ours and pairs:
                gain, least, most = interval([a - b for a, b in pairs])
                note += f"; {ours} better by {gain:+.3g} ({least:+.3g} to {most:+.3g})"
            rows.append({
                "name": f"{landscape}, best after {place} programs, {name}", "value": mean, "unit": "score",
                "budget": "", "note": note,
            })  # fmt: skip
    return rows
