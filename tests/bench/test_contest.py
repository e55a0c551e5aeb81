"""Searches of systems side by side: each program's score in the order of evaluation, and the rows made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UsageError
from tests.bench.peers.contest import best_after, contest_rows, contestants, play
from tests.bench.peers.sides import OpenEvolve, Ours, sides_of
from tests.bench.peers.state import noted_scores
from tests.bench.search.model import write_answer
from tests.bench.search.tasks import CHOSEN, numbers_in, program, start_of
from tests.bench.test_peers import fake_environment
from tests.conftest import Evolve

CIRCLES = CHOSEN["circles"]


def test_each_system_takes_part_once(tmp_path: Path) -> None:
    openevolve = fake_environment(tmp_path / "oe", "openevolve", "openevolve-run")
    shinka = fake_environment(tmp_path / "sh", "shinka_evolve", "shinka_run")
    sides, _ = sides_of(f"openevolve={openevolve},shinka={shinka}")
    assert [side.name for side in contestants(sides)] == ["ours open", "openevolve in-process", "shinka"]


def test_same_answers_give_the_same_scores(tmp_path: Path) -> None:
    environment = fake_environment(tmp_path / "oe", "openevolve", "openevolve-run")
    scores = {}
    for side in (Ours("ours open", guarded=False), OpenEvolve("openevolve in-process", environment, apart=False)):
        folder = tmp_path / side.name
        folder.mkdir()
        scores[side.name] = play(side, "circles", 2, folder, 3)
    ours, theirs = scores.values()
    start = start_of(CIRCLES)
    first = numbers_in(write_answer("circles.peers.2", 1, program(start)))[0]
    assert len(ours) == len(theirs) == 4, "the initial program and three more"
    assert ours[:2] == theirs[:2] == [pytest.approx(CIRCLES.score(start)), pytest.approx(CIRCLES.score(first))]
    with pytest.raises(UsageError, match="there is no landscape 'hill'"):
        play(Ours("ours open", guarded=False), "hill", 0, tmp_path, 1)


def test_peer_shows_the_program_to_improve_last() -> None:
    shown = program((1.0,) * 8) + program((-3.0,) * 8)
    near = [numbers_in(write_answer("rastrigin.peers.0", n, shown, improves_last=True))[0] for n in range(1, 60)]
    assert sum(sum(numbers) < 0 for numbers in near) > 50


def test_scores_of_a_peer_are_read_with_their_failures(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("begin\n-2.5\nbegin\nbegin\n-1.0\n")
    assert noted_scores(tmp_path / "scores") == [-2.5, None, -1.0]


def test_rows_have_the_best_so_far_and_paired_differences() -> None:
    assert [best_after([-3.0, None, -1.0, -2.0], place) for place in (0, 1, 2, 3, 4)] == [-3.0, -3.0, -1.0, -1.0, None]
    long = [float(n) for n in range(61)]
    rows = contest_rows({"ours": [long, [*long[1:], 61.0]], "other": [[*long[:-1], 50.0], long[:40]]}, "rugged", 60)
    values = {row["name"]: row["value"] for row in rows}
    assert values == {
        "rugged, best after 50 programs, ours": 50.5,
        "rugged, best after 50 programs, other": 50.0,
        "rugged, best after 60 programs, ours": 60.5,
        "rugged, best after 60 programs, other": 49.0,
    }
    assert rows[1]["note"] == "95 % 50 to 50, 1 run; ours better by +0 (+0 to +0)"
    assert rows[3]["note"].endswith(", 2 runs; ours better by +11.5 (+1 to +22)")


def test_option_of_another_benchmark_is_refused(evolve: Evolve) -> None:
    assert "--landscape is for peers" in evolve("bench", "search", "--landscape", "rugged").err
