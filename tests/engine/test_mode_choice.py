"""The choice of a way of writing: what counts as a gain, what it costs, and that a resume chooses the same."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from engine.journal import events as ev
from engine.llm.requests import Mode
from engine.state.fold import fold
from engine.state.mode_choice import choose_mode, describe_modes, modes_entry
from tests.engine.searches import Search

ALL: dict[Mode, float] = {"full": 0.3, "diff": 0.6, "crossover": 0.05, "fix": 0.05}


def search(choice: str = "ucb") -> Search:
    run = Search(settings={"designer": {"choice": choice}})
    run.add(0.0, round=0)
    return run


def design(
    run: Search, mode: Mode, score: float | None, tokens: int = 0, parents: tuple[int, ...] = (0,), there: int = 0
) -> int:
    """One round in this way; the program fails if it has no score. Return its node."""
    number = run.state.rounds_started + 1
    run.apply(ev.RoundStarted(), round=number)
    run.apply(ev.LearnDone(parents[0], mode=mode), round=number)
    if tokens or there:
        call = run.state.last_call + 1
        run.apply(ev.CallStarted(call, "researcher", "m", key="design/0"), round=number)
        done = ev.CallDone(call, "researcher", "m", tokens_out=tokens, key="design/0", tokens_there=there)
        run.apply(done, round=number)
    node = run.add(score, list(parents), round=number)
    run.apply(ev.RoundEnded("node"), round=number)
    return node


def gained(run: Search, mode: Mode) -> int:
    return run.state.modes[mode].gained


def test_a_crossover_must_beat_the_best_of_its_parents() -> None:
    run = search()
    better = design(run, "diff", 5.0)
    design(run, "crossover", 3.0, parents=(0, better))
    assert gained(run, "crossover") == 0, "it stands above its first parent alone"
    design(run, "crossover", 6.0, parents=(0, better))
    assert gained(run, "crossover") == 1 and run.state.modes["crossover"].gain == 1.0


def test_a_mend_must_beat_what_the_failed_program_was_made_from() -> None:
    run = search()
    failed = design(run, "diff", None)
    again = design(run, "fix", None, parents=(failed,))
    design(run, "fix", -1.0, parents=(again,))
    assert run.state.modes["fix"].designs == 2 and gained(run, "fix") == 0, "to run is not to gain"
    failed = design(run, "diff", None)
    design(run, "fix", 2.0, parents=(failed,))
    assert gained(run, "fix") == 1 and run.state.modes["fix"].gain == 2.0


@pytest.mark.parametrize("choice", ["ucb", "thompson"])
def test_what_gains_for_its_tokens_is_chosen_most(choice: str) -> None:
    def taken(tokens: dict[Mode, int]) -> Counter[str]:
        run, rng, found = search(choice), random.Random(7), Counter[str]()
        weights: dict[Mode, float] = {"full": 1.0, "diff": 1.0}
        for number in range(80):
            mode = choose_mode(run.state, weights, weights, random.Random(number))
            found[mode] += 1
            gains = rng.random() < (0.6 if mode == "full" else 0.2)
            design(run, mode, 1.0 if gains else -1.0, tokens.get(mode, 0))
        assert vars(fold(run.events)) == vars(run.state)
        entry = {item["mode"]: item for item in modes_entry(run.state)}
        assert {mode: item["asked"] for mode, item in entry.items()} == dict(found)
        assert sum(item["share"] for item in entry.values()) == pytest.approx(1.0)
        assert f"full {found['full']}" in describe_modes(run.state)
        return found

    alike = taken({})
    assert alike["full"] > 2 * alike["diff"], "without tokens each design costs the same"
    dear = taken({"full": 10_000, "diff": 1_000})
    assert dear["diff"] > dear["full"], "three times the gains at ten times the tokens are worse"


def test_only_what_the_round_allows_is_chosen_and_rounds_in_flight_count() -> None:
    run = search()
    assert choose_mode(run.state, ALL, ["diff"], random.Random(1)) == "diff"
    few: dict[Mode, float] = {"full": 0.2, "diff": 0.6}
    assert choose_mode(run.state, few, few, random.Random(1)) == "diff", "the weights decide at first"
    for number in range(1, 9):
        run.apply(ev.RoundStarted(), round=number)
        run.apply(ev.LearnDone(0, mode="diff"), round=number)
    assert choose_mode(run.state, few, few, random.Random(1)) == "full"
    assert run.state.modes == {}, "nothing was asked yet"
    run.apply(ev.RoundEnded("no_design"), round=1)
    assert run.state.modes["diff"].asked == 1


def test_recorded_answers_count_what_they_took_there() -> None:
    asked, replayed = search(), search()
    for mode, tokens in (("full", 4000), ("diff", 1000)):
        design(asked, mode, 1.0, tokens)  # type: ignore[arg-type]
        design(replayed, mode, 1.0, there=tokens)  # type: ignore[arg-type]
    assert replayed.state.tokens == 0 and asked.state.modes == replayed.state.modes
