"""What is ranked is what is shown: by the commands, on a minimised metric, in journals of earlier versions."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.progress import ProgressLines, closing_object
from engine.journal import events as ev
from engine.journal.database import connect_writer
from engine.runs.folder import Run
from engine.runs.status import summarize, summary_now, summary_of
from engine.state.fold import apply
from engine.state.ranking import Figures, Ranking
from engine.state.run_state import RunState
from tests.conftest import Evolve
from tests.e2e.runs import events, fold
from tests.engine.cli.test_table import shown as shown_in
from tests.engine.ranked_runs import FITTEST, LOWEST, UNRANKED, best_of, make_ranked

SAMPLE = Path(__file__).parents[2] / "sample_runs" / "linear_attention_recombine"
WAYS = ["composite", "judge"]


# What is shown of one node


def test_the_score_alone_is_shown_where_it_alone_ranks() -> None:
    two = Figures(2.0, -2.0)
    assert Ranking("loss", "minimize").describe(two) == "2"
    assert Ranking("loss", "minimize").of(two) == 2.0 and not Ranking("loss", "minimize").maximize
    assert Ranking("loss", "minimize").name == "loss" and Ranking("loss", "minimize").key == "score"


def test_fitness_is_named_and_stands_before_the_score() -> None:
    ranking = Ranking("loss", "minimize", by_fitness=True)
    assert ranking.describe(Figures(2.0, 0.75)) == "fitness 0.75, score 2"
    assert ranking.describe(Figures(2.0, None)) == "no fitness, score 2"
    assert ranking.describe(Figures(None, None)) == ranking.brief(Figures(None, None)) == "no score"
    assert ranking.brief(Figures(2.0, 0.75)) == "fitness 0.75 (2)"
    assert ranking.maximize and ranking.name == ranking.key == "fitness" and ranking.of(Figures(2.0, 0.75)) == 0.75


@given(
    st.builds(Ranking, st.just("m"), st.sampled_from(["maximize", "minimize"]), st.booleans()),
    st.floats(-1e6, 1e6), st.floats(-1e6, 1e6),
)  # fmt: skip
def test_a_gain_is_positive_where_the_node_ranks_higher(ranking: Ranking, a: float, b: float) -> None:
    sign = 1.0 if ranking.maximize else -1.0
    items = [Figures(value, value if ranking.by_fitness else sign * value) for value in (a, b)]
    gain = ranking.gain(*items)
    assert gain is not None and (gain > 0) == (items[0].fitness > items[1].fitness)  # type: ignore[operator]


# What the fold keeps


def test_every_best_step_bears_its_fitness_and_is_ranked_anew_by_other_weights(tmp_path: Path) -> None:
    state, best = best_of(make_ranked(tmp_path / "run", "composite"))
    assert [step.node for step in state.best_steps] == [0, FITTEST]
    assert [step.fitness for step in state.best_steps] == [0.5, best.fitness]
    change = ev.SettingsChanged({"fitness": {"kind": "score"}})
    apply(state, ev.Event(state.seq + 1, state.at, None, None, change))
    assert [step.fitness for step in state.best_steps] == [-2.0, -1.9]
    assert state.ranking == Ranking("loss", "minimize")


@pytest.mark.parametrize("way", WAYS)
def test_the_best_ranks_above_all_that_is_shown_below_it(tmp_path: Path, way: str) -> None:
    state, best = best_of(make_ranked(tmp_path / "run", way))
    values = [state.ranking.of(node) for node in state.nodes]
    assert best.id == FITTEST and state.ranking.by_fitness
    assert max(value for value in values if value is not None) == state.ranking.of(best)
    assert values[UNRANKED] is None and state.nodes[UNRANKED].score == 1.5


def test_an_old_journal_is_ranked_by_what_it_was_ranked_by() -> None:
    state = fold(Run(SAMPLE))
    best = state.best_node
    assert best is not None and state.ranking.by_fitness
    for node in state.nodes:
        assert node is best or state.ranking.of(node) < state.ranking.of(best)  # type: ignore[operator]
    assert any(node.score > best.score for node in state.nodes if node.score is not None)  # type: ignore[operator]
    fitness = [step.fitness for step in state.best_steps]
    assert None not in fitness and fitness == sorted(fitness)  # type: ignore[type-var]


# The commands


@pytest.mark.parametrize("way", WAYS)
def test_commands_show_fitness_first_and_the_score_beside_it(tmp_path: Path, evolve: Evolve, way: str) -> None:
    run = make_ranked(tmp_path / "runs" / "one", way)
    _, best = best_of(run)
    where = ("--runs", tmp_path / "runs")
    assert f"fitness {best.fitness:.4g} (1.9) #{FITTEST}" in evolve("runs", *where).out
    shown = evolve("show", "one", *where).out
    assert f"best fitness {best.fitness:.10g}, score 1.9, node {FITTEST}" in shown
    table = [line.split() for line in shown.split("\n\n")[1].splitlines()]
    assert table[0][4:6] == ["fitness", "score"]
    assert table[1 + LOWEST][5] == "1" and table[1 + UNRANKED][4:6] == ["–", "1.5"]
    ranked = [float(row[4]) for row in table[1:] if row[4] != "–"]
    assert table[1 + ranked.index(max(ranked))][0] == f"*{FITTEST}"
    node = evolve("show", "one", LOWEST, *where).out.splitlines()
    assert re.search(r"ok, fitness \S+, score 1$", node[0])
    assert "not ranked: a part of its fitness is missing" in evolve("show", "one", UNRANKED, *where).out
    assert evolve("best", "one", *where).out == "X = 2\n"
    assert shown_in(120, "best", "one", *where) == [f"node {FITTEST}: fitness {best.fitness:.10g}, score 1.9", "X = 2"]


def test_the_judges_mark_is_shown_where_it_counts(tmp_path: Path, evolve: Evolve) -> None:
    make_ranked(tmp_path / "runs" / "one", "judge")
    shown = evolve("show", "one", FITTEST, "--runs", tmp_path / "runs").out
    # Of a minimised metric the judge's share is set against the turned score; the score keeps its own sign.
    assert "fitness 0.2, score 1.9" in shown and "judge's mark 0.9 of 1" in shown


def test_nothing_is_doubled_where_the_score_ranks(tmp_path: Path, evolve: Evolve) -> None:
    make_ranked(tmp_path / "runs" / "one", "score")
    where = ("--runs", tmp_path / "runs")
    shown = evolve("show", "one", *where).out
    assert f"best 1, node {LOWEST}" in shown
    for words in (["runs"], ["show", "one", LOWEST], ["best", "one"]):
        shown += "\n".join(shown_in(120, *words, *where))
    assert "fitness" not in shown and "-1" not in shown.split()


@pytest.mark.parametrize("way", ["score", *WAYS])
def test_json_carries_both_and_says_which_ranks(tmp_path: Path, evolve: Evolve, way: str) -> None:
    run = make_ranked(tmp_path / "runs" / "one", way)
    state, best = best_of(run)
    where = ("--runs", tmp_path / "runs", "--json")
    entry = {"node": best.id, "score": best.score, "fitness": best.fitness}
    key = "score" if way == "score" else "fitness"
    (listed,) = evolve("runs", *where).json
    shown = evolve("show", "one", *where).json
    printed = evolve("best", "one", *where).json
    for found in (listed, shown):
        assert found["best"] == entry and found["ranked_by"] == key
    assert {name: printed[name] for name in entry} == entry and printed["ranked_by"] == key
    assert [(node["score"], node["fitness"]) for node in shown["nodelist"]] == [
        (node.score, node.fitness) for node in state.nodes
    ]
    assert closing_object(state, summary_now(run, state))["best"] == entry


@pytest.mark.parametrize(("way", "told"), [("score", "#1 1* "), ("composite", "#2 fitness 0.811")])
def test_progress_tells_what_is_ranked(tmp_path: Path, capfd: pytest.CaptureFixture[str], way: str, told: str) -> None:
    first, *rest = events(make_ranked(tmp_path / "run", way))
    state, lines = RunState(first), ProgressLines()
    for event in rest:
        apply(state, event)
        lines(event, state)
    said = capfd.readouterr().err.splitlines()
    _, best = best_of(Run(tmp_path / "run"))
    assert any(told in line for line in said)
    crashed = next(line for line in said if "#4 crashed" in line)
    shown = "1" if way == "score" else f"fitness {best.fitness:.6g}, score 1.9"
    assert crashed.endswith(f"(best {shown} #{best.id})")


# Summaries


@pytest.mark.parametrize("way", ["score", *WAYS])
def test_a_summary_kept_by_an_earlier_version_is_completed(tmp_path: Path, way: str) -> None:
    run = make_ranked(tmp_path / "run", way)
    state, best = best_of(run)
    kept = summary_of(state)
    del kept["ranked_by"], kept["best"]["fitness"]
    connection = connect_writer(run.db)
    connection.execute("INSERT INTO meta VALUES ('summary', ?)", (msgspec.json.encode(kept).decode(),))
    connection.close()
    found = summarize(run)
    assert found["best"] == {"node": best.id, "score": best.score, "fitness": best.fitness}
    assert found["ranked_by"] == ("score" if way == "score" else "fitness")
