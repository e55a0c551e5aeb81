"""Standstills without an engine: when a run stands still, what is tried against it, and what that is credited with."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.loop.standstill import possible_actions, strong_model
from engine.runs.folder import Run
from engine.samplers.base import Sample
from engine.samplers.detours import choose_elite, detour
from engine.samplers.standstill import acts_on, due
from engine.settings.model import DesignerSettings, SamplerSettings, Settings
from engine.settings.models import ModelSpec, RoleSettings
from engine.settings.standstill import Action, StandstillSettings
from engine.state.bandit import Credit, choose_ucb
from engine.state.fold import fold
from engine.state.standstill import end_of_standstill, stands_still, window_of
from engine.state.standstill_told import (
    credits_told,
    standstill_cell,
    standstill_entry,
    standstill_line,
    standstill_told,
)
from engine.state.timeline import copy_state
from engine.state.tried import tried_in_vain
from tests.e2e.runs import events
from tests.engine.searches import Search

ALL: tuple[Action, ...] = ("modes", "model", "lessons", "explore", "restart")


class Still(Search):
    """A search with one round after the other, that crowns and decides as an engine does."""

    def __init__(self, **standstill: Any) -> None:
        super().__init__(settings={"standstill": standstill})
        self.add(0.0, round=0)
        self.crown(0)

    def round(self, score: float | None, action: str = "", parent: int | None = None, name: str = "n") -> int:
        parent = self.state.best if parent is None else parent
        self.learn(Sample(parent or 0, [], ""), action)
        return self.end(Sample(parent or 0, [], ""), score, f"x = {score}\ny = {len(self.state.nodes)}", crown=True)

    def decide(self, possible: tuple[Action, ...] = ALL) -> list[ev.Data]:
        seed = self.state.standstill.actions
        told = due(self.state, possible, random.Random(seed), lambda acted: acted)
        for data in told:
            self.apply(data, self.state.best)
        return told


scores = st.lists(st.none() | st.floats(-2, 4) | st.integers(0, 3).map(float), max_size=60)


@given(scores, st.sampled_from([0.0, 0.5]))
def test_pace_is_that_of_gains_that_add_up_above_noise(found: list[float | None], spread: float) -> None:
    run = Still()
    run.apply(ev.NoiseMeasured(3, spread, 0.0))
    mark, best, last, gaps = 0.0, 0.0, 0, []
    for number, score in enumerate(found, start=1):
        run.round(score)
        if score is not None and score > best:
            best = score
            if best - mark > max(spread, mark * 1e-3):
                gaps.append(number - last)
                mark, last = best, number
        still = run.state.standstill
        assert (still.evaluations, still.waited, still.mark) == (number, number - last, mark)
        assert still.gaps == gaps[-5:]
        window = max(20, math.ceil(6 * sum(gaps[-5:]) / len(gaps[-5:]))) if gaps else 20
        assert window_of(run.state) == window
        assert stands_still(run.state) == (number - last >= window)


@given(scores, st.integers(0, 3))
def test_decisions_are_a_function_of_the_journal(found: list[float | None], window: int) -> None:
    def search() -> Still:
        run = Still(action="act", window=window + 1)
        for score in found:
            run.decide()
            number = run.state.rounds_started
            run.round(score, acts_on(run.state, number + 1, random.Random(number)))
        return run

    run = search()
    assert run.events == search().events
    again = fold(run.events)
    assert vars(again) == vars(run.state)
    twin = copy_state(run.state)
    before = [msg.chosen for msg in twin.standstill.credits.values()]
    run.decide()
    run.round(9.0, "explore")
    assert [msg.chosen for msg in twin.standstill.credits.values()] == before
    # One action at a time, and each for as many rounds as it says.
    acted = [event for event in run.events if isinstance(event.data, ev.StandstillActed)]
    began = [event for event in run.events if isinstance(event.data, ev.StandstillBegan)]
    assert not acted or began[0].seq < acted[0].seq
    assert sum(credit.chosen for credit in run.state.standstill.credits.values()) == len(acted)


def test_off_records_nothing_and_tell_takes_no_action() -> None:
    for action, expected in (("off", []), ("tell", [ev.StandstillBegan])):
        run = Still(action=action, window=3)
        told = []
        for _ in range(8):
            told += run.decide()
            run.round(-1.0)
        assert [type(data) for data in told] == expected
        assert acts_on(run.state, 9, random.Random(1)) == ""


def test_action_holds_for_its_rounds_and_is_credited_with_gains() -> None:
    run = Still(action="act", window=4, actions=["explore", "modes"])
    for _ in range(4):
        assert run.decide() == []
        run.round(-1.0)
    began, first = run.decide()
    assert isinstance(began, ev.StandstillBegan) and (began.evaluations, began.window) == (4, 4)
    assert isinstance(first, ev.StandstillActed) and first.rounds == 8 and first.why == "not tried before"
    for _ in range(8):
        assert run.decide() == []
        run.round(-1.0, first.action)
    (second,) = run.decide()
    assert isinstance(second, ev.StandstillActed) and {first.action, second.action} == {"explore", "modes"}
    run.round(-1.0, second.action)
    assert standstill_told(run.state).startswith(f"stands still: no gain in 13 evaluations; {second.action}: ")
    assert standstill_cell(run.state) == f"still 13 {second.action}"
    node = run.round(2.0, second.action)
    still = run.state.standstill
    assert (still.began, still.acted, still.waited) == (None, None, 0)
    assert still.credits[second.action] == Credit(1, 2, 2.0) and still.credits[first.action] == Credit(1, 8, 0.0)
    assert standstill_told(run.state) == standstill_cell(run.state) == ""
    assert "2 in 2 evaluations" in credits_told(run.state)
    assert standstill_entry(run.state)["credits"][second.action] == {"chosen": 1, "evaluations": 2, "gain": 2.0}
    # The one that gained is taken from now on, before the one that did not.
    for _ in range(4):
        run.decide()
        run.round(-1.0)
    (_, third) = run.decide()
    assert isinstance(third, ev.StandstillActed) and third.action == second.action
    assert third.why == "gained 2 in 2 evaluations so far"
    assert run.state.nodes[node].score == 2.0


def test_end_names_gain_and_action() -> None:
    run = Still(action="act", window=2, actions=["explore"])
    run.round(1.0)
    for _ in range(3):
        run.decide()
        run.round(0.5)
    assert run.state.standstill.began is not None
    run.learn(Sample(0, [], ""), "explore")
    node = run.add(4.0, [0], round=run.state.rounds_started)
    ended = end_of_standstill(run.state, run.state.nodes[node], 4.0)
    assert ended == ev.StandstillEnded(4, 3.0, "explore")
    line = standstill_line(ev.Event(9, 0, 1, node, ended))
    assert line == f"out of the standstill after 4 evaluations: #{node} +3, under 'explore'"
    assert end_of_standstill(run.state, run.state.nodes[node], 1.0) is None, "that is no gain"


def test_restart_goes_on_from_its_nodes_and_their_children() -> None:
    run = Still(action="act", window=30, actions=["restart"])
    for number in range(30):
        run.round(-1.0 - number / 100, parent=0)
    run.apply(ev.NodePruned(), 5)
    elite = choose_elite(run.state, random.Random(3))
    assert len(set(elite)) == len(elite) == 5 and 0 not in elite and 5 not in elite
    assert all(run.state.rank(node) <= 16 for node in elite)  # type: ignore[operator]
    (_, acted) = run.decide()
    assert isinstance(acted, ev.StandstillActed) and len(acted.nodes) == 5
    rng, drawn = random.Random(1), set()
    for _ in range(20):
        sample = detour(run.state, Sample(0, [1], ""), 2, rng)
        assert sample is not None and sample.parent in run.state.standstill.restarted
        drawn.add(sample.parent)
        assert sample.parent not in sample.inspirations and len(sample.inspirations) <= 2
        run.round(-0.5, "restart", sample.parent)
    assert drawn - set(acted.nodes), "children are parents, too"
    other = run.round(-0.25, parent=0)
    assert other not in run.state.standstill.restarted


def test_restart_needs_nodes_beside_the_best() -> None:
    for arms in (["restart"], ["restart", "explore"]):
        run = Still(action="act", window=2, actions=arms)
        for _ in range(20):
            run.decide()
            run.round(None, parent=0)
        acted = [event.data for event in run.events if isinstance(event.data, ev.StandstillActed)]
        assert {data.action for data in acted} == {arms[-1]} and not any(data.nodes for data in acted)
        if arms == ["restart"]:
            sample = detour(run.state, Sample(0, [], ""), 2, random.Random(1))
            assert sample is None, "the sampler's own choice remains"


def test_action_ends_with_its_rounds_also_if_settings_leave_no_other() -> None:
    run = Still(action="act", window=2, actions=["explore"])
    for _ in range(3):
        run.decide()
        run.round(-1.0)
    run.apply(ev.SettingsChanged({"standstill": {"actions": []}}))
    under = []
    for _ in range(20):
        assert run.decide() == []
        number = run.state.rounds_started + 1
        under.append(any(acts_on(run.state, number, random.Random(seed)) for seed in range(20)))
        run.round(-1.0)
    assert under == [True] * 7 + [False] * 13, "it was in force for eight rounds, one of them before"
    assert standstill_cell(run.state) == "still 23" and standstill_entry(run.state)["action"] is None


def test_exploring_tells_of_a_parent_without_a_rank() -> None:
    run = Still(action="act", window=2, actions=["explore"])
    run.apply(ev.SettingsChanged({"fitness": {"require": {"score": ">= 5"}}}))
    for _ in range(3):
        run.decide()
        run.round(-1.0, parent=0)
    sample = detour(run.state, Sample(0, [], ""), 2, random.Random(1))
    assert sample is not None and sample.why == "standstill: any node, which breaks a constraint"


def test_exploring_takes_only_nodes_with_a_score() -> None:
    run = Still(action="act", window=3, actions=["explore"])
    assert detour(run.state, Sample(0, [], ""), 2, random.Random(1)) is None, "no action is in force"
    for score in (None, -1.0, -2.0, None, -3.0):
        run.round(score, parent=0)
    run.apply(ev.NodePruned(), 2)
    run.decide()
    rng = random.Random(4)
    found = [detour(run.state, Sample(0, [3], ""), 2, rng) for _ in range(60)]
    assert {sample.parent for sample in found if sample is not None} == {0, 3, 5}


@given(
    st.dictionaries(
        st.sampled_from(ALL), st.builds(Credit, st.integers(1, 9), st.integers(0, 50), st.floats(0, 1e6)), max_size=5
    ),
    st.integers(0, 99),
)
def test_choice_is_an_arm_that_was_never_taken_or_the_formulas_argmax(credits: dict[str, Credit], seed: int) -> None:
    chosen = choose_ucb(credits, ALL, random.Random(seed))
    assert chosen == choose_ucb(credits, ALL, random.Random(seed))
    if len(credits) < len(ALL):
        assert chosen not in credits
        return
    total = sum(credit.chosen for credit in credits.values())
    top = max(credit.rate for credit in credits.values()) or 1.0
    values = {arm: c.rate / top + 0.5 * math.sqrt(2 * math.log(total) / c.chosen) for arm, c in credits.items()}
    assert values[chosen] == pytest.approx(max(values.values()))


def test_like_ideas_are_told_in_one_line() -> None:
    run = Still()
    for number in range(6):
        run.learn(Sample(0, [], ""))
        name = f"larger step number {number}" if number % 2 else f"swap distance with table {number}"
        node = len(run.state.nodes)
        run.apply(ev.DesignDone("0" * 64, "diff", name, "", [0], digest=str(node)), node, run.state.rounds_started)
        run.measure(node, None if number == 5 else -1.0 * number)
        run.apply(ev.AnalyzeDone(f"lost {number} against #0: {name}"), node, run.state.rounds_started)
        run.apply(ev.RoundEnded("node"), round=run.state.rounds_started)
    lines = tried_in_vain(run.state)
    assert lines == [
        "3 ×, 1 failed: lost 1 against #0: larger step number 1",
        "3 ×: lost 0 against #0: swap distance with table 0",
    ]
    run.round(5.0)
    assert tried_in_vain(run.state) == []


def test_only_actions_that_change_something_are_possible() -> None:
    def state_of(settings: Settings) -> Any:
        run = Still()
        run.state.settings = settings
        return run.state

    assert possible_actions(state_of(Settings()), 3) == ["modes", "explore", "restart"]
    iid = Settings(sampler=SamplerSettings(name="iid"), designer=DesignerSettings(name="recombine"))
    assert possible_actions(state_of(iid), 1) == []
    cheap, dear = ModelSpec(model="a", price_out=1.0), ModelSpec(model="b", price_out=9.0)
    two = Settings(models={"cheap": cheap, "dear": dear})
    assert possible_actions(state_of(two), 4) == list(ALL) and strong_model(two) == "dear"
    assert strong_model(Settings(models={"dear": dear})) == ""
    only = Settings(models={"cheap": cheap, "dear": dear}, roles=RoleSettings(researcher={"dear": 1.0}))
    assert strong_model(only) == "", "it designs everything anyway"
    named = Settings(models={"cheap": cheap, "dear": dear}, standstill=StandstillSettings(model="cheap"))
    assert strong_model(named) == "cheap"
    assert strong_model(Settings(models={"a": cheap, "b": cheap})) == "", "prices tell none"


def test_new_weights_start_the_pace_anew() -> None:
    run = Still(window=2)
    for score in (1.0, 0.5, 0.5):
        run.decide()
        run.round(score)
    run.apply(ev.SettingsChanged({"fitness": {"kind": "composite", "parts": {"score": {"direction": "maximize"}}}}))
    best = run.state.best_node
    assert best is not None and run.state.standstill.mark == best.fitness
    assert not run.state.standstill.credits


def test_sample_run_stands_still_and_gets_out() -> None:
    state = fold(events(Run(Path("sample_runs", "curve_standstill").absolute())))
    told = {
        type(event.data): event.node
        for event in events(Run(Path("sample_runs", "curve_standstill").absolute()))
        if isinstance(event.data, ev.StandstillBegan | ev.StandstillEnded)
    }
    assert told == {ev.StandstillBegan: 1, ev.StandstillEnded: 35} and state.best == 35
    assert state.standstill.gaps[-1] == 34
    assert credits_told(state) == "restart 0 in 2 evaluations, modes 0.01001 in 4 evaluations"


def test_rise_of_the_hypervolume_is_a_gain_of_several_objectives() -> None:
    axis = {"direction": "maximize", "reference": 0.0}
    run = Still(action="act", window=2, actions=["explore"])
    run.apply(ev.SettingsChanged({"fitness": {"kind": "pareto", "parts": {"a": axis, "b": axis}}}))
    still = run.state.standstill

    def round(a: float, b: float, action: str = "") -> None:
        run.learn(Sample(0, [], ""), action)
        run.end(Sample(0, [], ""), 0.0, crown=True, a=a, b=b)

    run.measure(0, 0.0, a=1.0, b=1.0)
    round(2.0, 0.5)
    assert (still.waited, still.gaps) == (0, [1])
    for _ in range(3):
        run.decide()
        round(0.5, 0.5)
    assert still.began is not None and still.acted is not None
    round(0.5, 2.0, "explore")
    assert (still.began, still.waited, still.gaps) == (None, 0, [1, 4])
    assert still.credits["explore"].gain == pytest.approx(0.5)
