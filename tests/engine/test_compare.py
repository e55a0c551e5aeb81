"""Compare: what is read of runs, and how it is set side by side on the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.journal import events as ev
from engine.journal.database import connect_writer, insert_event
from engine.journal.reader import JournalReader
from engine.runs.compare import (
    ComparedRun,
    best_at,
    common_ranking,
    differing,
    doubts,
    extent,
    read_compared,
    shared_places,
)
from engine.runs.folder import Run
from engine.runs.fork import fork_run
from engine.state.fold import fold_run
from tests.conftest import Evolve
from tests.engine.ranked_runs import FITTEST, LOWEST, UNRANKED, make_ranked
from tests.tui.synthetic import make_run


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs of other seeds and lengths; the second spent money."""
    runs = tmp_path_factory.mktemp("pair") / "runs"
    a, b = make_run(runs / "one", 40, end="finished"), make_run(runs / "two", 60, seed=5, end="finished", rounds=60)
    with JournalReader(b.db) as reader:
        seq = reader.last_seq()
    call = ev.CallDone(1, "researcher", "m", tokens_in=900, tokens_out=100, usd=0.5)
    connection = connect_writer(b.db)
    insert_event(
        connection,
        ev.Event(
            seq + 1,
            2_000_000_000_000,
            3,
            None,
            call,
        ),
    )
    insert_event(connection, ev.Event(seq + 2, 2_000_000_000_000, 3, 5, ev.BestCrowned(99.0)))
    connection.close()
    return a, b


@pytest.fixture(scope="module")
def both(pair: tuple[Run, Run]) -> list[ComparedRun]:
    return [read_compared(run) for run in pair]


def test_what_is_read_is_what_the_run_came_to(pair: tuple[Run, Run], both: list[ComparedRun]) -> None:
    for run, compared in zip(pair, both, strict=True):
        with JournalReader(run.db) as reader:
            state = fold_run(reader)
        assert [step.node for step in compared.steps] == [step.node for step in state.best_steps]
        assert [step.score for step in compared.steps] == [step.score for step in state.best_steps]
        assert (compared.rounds, compared.nodes, compared.usd) == (state.rounds_done, len(state.nodes), state.usd)
        assert compared.best is not None and compared.best.node == state.best
        for step in compared.steps:
            assert step.rounds <= compared.rounds and step.seconds <= compared.seconds
    assert both[1].steps[-1].usd == 0.5 and both[1].steps[-1].tokens == 1000


def test_the_best_at_equal_expense(both: list[ComparedRun]) -> None:
    places = shared_places(both, "rounds")
    assert places[-1] == min(run.rounds for run in both) and places == sorted(places)
    for run in both:
        found = [best_at(run, "rounds", place) for place in (0, *places, extent(run, "rounds"))]
        known = [step.score for step in found if step is not None]
        assert known == sorted(known) and run.best is not None and known[-1] == run.best.score
    assert shared_places(both, "usd") == [] and best_at(both[0], "rounds", -1) is None


def test_settings_that_differ(both: list[ComparedRun]) -> None:
    assert differing(both) == {"rounds": [100, 60]}
    assert differing(both[:1]) == {}


def test_the_command(pair: tuple[Run, Run], evolve: Evolve) -> None:
    runs = pair[0].folder.parent
    done = evolve("compare", "one", "two", "--runs", runs, "--diff")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split()[:3] == ["name", "task", "status"] and lines[1].startswith("one ") and "99 #5" in lines[2]
    assert "Best after so many rounds" in done.out and "rounds   100  60" in done.out
    assert "--- one #" in done.out and "+++ two #5" in done.out and "@@" in done.out
    told = evolve("compare", "one", "two", "--runs", runs, "--by", "usd")
    assert "No curves by dollars: 'one' has spent none." in told.out
    found = evolve("compare", "one", "two", "--runs", runs, "--json").json
    assert [run["name"] for run in found["runs"]] == ["one", "two"] and found["differ"] == {"rounds": [100, 60]}
    best = found["runs"][1]["best"]
    assert (best["node"], best["score"]) == (5, 99.0) and found["runs"][1]["ranked_by"] == "score"
    assert found["runs"][1]["curve"][-1]["usd"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one"], "two runs or more"),
        (["one", "two", "--by", "luck"], "no such axis"),
        (["one", "three"], "no run 'three'"),
    ],
)
def test_what_cannot_be_compared_is_told(
    pair: tuple[Run, Run], evolve: Evolve, arguments: list[str], said: str
) -> None:
    done = evolve("compare", *arguments, "--runs", pair[0].folder.parent)
    assert done.code != 0 and said in done.err


def test_a_run_without_a_score(both: list[ComparedRun]) -> None:
    bare = msgspec.structs.replace(both[0], steps=[], program="", rounds=0, seconds=0.0)
    assert bare.best is None and shared_places([bare, both[1]], "rounds") == []


def test_the_round_that_found_the_best_is_counted(tmp_path: Path) -> None:
    run = make_ranked(tmp_path / "run", "score")
    compared = read_compared(run)
    assert [(step.node, step.rounds) for step in compared.steps] == [(0, 0), (LOWEST, 1)]
    assert [best_at(compared, "rounds", place) for place in (0, 1)] == compared.steps
    with JournalReader(run.db) as reader:
        crowned = next(
            event.seq for event in reader.events() if event.node == LOWEST and event.data.KIND == "best.crowned"
        )
    # Cut off before its round has ended, a run has its best all the same.
    fork = fork_run(run, tmp_path, at_seq=crowned, name="cut").run
    cut = read_compared(fork)
    assert cut.rounds == 0 and best_at(cut, "rounds", extent(cut, "rounds")) == cut.best


def test_a_best_that_is_crowned_after_its_round_adds_no_round(tmp_path: Path) -> None:
    run = make_ranked(tmp_path / "run", "score")
    with JournalReader(run.db) as reader:
        seq = reader.last_seq()
    connection = connect_writer(run.db)
    insert_event(connection, ev.Event(seq + 1, 2_000_000, 3, UNRANKED, ev.BestCrowned(1.5)))
    connection.close()
    assert [step.rounds for step in read_compared(run).steps] == [0, 1, 4]


def test_fitness_is_compared_where_all_rank_by_the_same(tmp_path: Path, evolve: Evolve) -> None:
    for name, way in (("one", "composite"), ("two", "composite"), ("three", "score")):
        make_ranked(tmp_path / "runs" / name, way)
    one, two, three = (read_compared(Run(tmp_path / "runs" / name)) for name in ("one", "two", "three"))
    assert common_ranking([one, two]).by_fitness and doubts([one, two]) == []
    assert common_ranking([one, three]) == three.ranking and "different fitness" in doubts([one, three])[0]
    best = one.best
    assert best is not None and best.fitness is not None
    where = ("--runs", tmp_path / "runs")
    told = evolve("compare", "one", "two", *where).out
    assert f"fitness {best.fitness:.6g} (1.9) #{FITTEST}" in told
    assert "Best fitness (score) after so many rounds" in told and f"{best.fitness:.6g} (1.9)" in told
    told = evolve("compare", "one", "three", *where).out
    assert "the score is compared" in told and "Best after so many rounds" in told
    found = evolve("compare", "one", "two", *where, "--json").json["runs"][0]
    assert found["best"] == {"node": FITTEST, "score": 1.9, "fitness": best.fitness}
    assert found["ranked_by"] == "fitness" and found["curve"][-1]["fitness"] == best.fitness


def test_fitness_that_counts_from_other_seeds_is_doubted(tmp_path: Path) -> None:
    one = read_compared(make_ranked(tmp_path / "one", "composite"))
    other = msgspec.structs.replace(one, baseline={**one.baseline, "loss": 2.5})
    assert one.baseline == {"loss": 2.0, "speed": 100.0}
    assert any("differ" in doubt for doubt in doubts([one, other]))
