"""What a person asked is shown as asked until the journal answers, and never as done."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.runs.folder import Run
from tests.tui.synthetic import Synthesizer, story
from tui.feed.batch import Batch, Post
from tui.model.run_model import RunModel, fold_model
from tui.session import ModelChange, Session


class ScriptedFeed:
    """A feed whose batches come from the test."""

    is_replay = False
    is_moving = True

    def __init__(self) -> None:
        self.run = Run(Path("/runs/test"))
        self.acknowledged = 0
        self.period = 0.0
        self.woken = 0
        self.now = 0

    def start(self, post: Post) -> None:
        """Nothing comes by itself."""

    def acknowledge(self) -> None:
        """Count."""
        self.acknowledged += 1

    def set_period(self, seconds: float) -> None:
        """Remember."""
        self.period = seconds

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    def now_ms(self) -> int:
        """The test's clock."""
        return self.now

    def stop(self) -> None:
        """Nothing to stop."""

    def wait(self, seconds: float) -> None:
        """Nothing to wait for."""


class Case:
    """A session with a synthetic run."""

    def __init__(self, alive: bool = True) -> None:
        self.feed = ScriptedFeed()
        self.session = Session(self.feed)
        self.answers: list[tuple[str, bool, str]] = []
        self.left: list[tuple[int, str, dict[str, Any]]] = []
        self.changes: list[ModelChange] = []
        self.session.answered = lambda kind, answer: self.answers.append((kind, answer.ok, answer.text))
        self.session.unanswered = lambda command, waiting: self.left.append((command, waiting.kind, waiting.data))
        self.session.subscribe(self.changes.append)
        self.synthesizer = Synthesizer()
        model = fold_model(chain.from_iterable(story(self.synthesizer, 20)))
        self.batch(model=model, alive=alive)

    def batch(self, *data: ev.Data, alive: bool = True, model: RunModel | None = None, trouble: str = "") -> None:
        """Deliver a batch."""
        events = tuple(self.synthesizer.event(item) for item in data)
        self.session.take(Batch(self.feed.run, alive, events, model, trouble))


@pytest.fixture
def case() -> Case:
    """A running run."""
    return Case()


def test_pause_waits_for_its_event(case: Case) -> None:
    case.session.sent(7, "pause", {})
    assert (case.session.status, case.session.doing) == ("running", "pausing…")
    case.batch(ev.RunPaused(), ev.CommandDone(7, "pause", True, "paused"))
    assert (case.session.status, case.session.doing) == ("paused", "")
    assert case.answers == [("pause", True, "paused")]


def test_refusal_is_shown(case: Case) -> None:
    case.session.sent(7, "step", {})
    case.batch(ev.CommandDone(7, "step", False, "only a paused run can be stepped"))
    assert case.session.status == "running"
    assert case.answers == [("step", False, "only a paused run can be stepped")]
    assert case.session.model is not None and case.session.model.notes[-1].kind == "refused"


def test_answer_before_sent_is_delivered(case: Case) -> None:
    case.batch(ev.CommandDone(9, "pause", True, "paused"))
    case.session.sent(9, "pause", {})
    assert case.session.doing == "" and case.answers == [("pause", True, "paused")]


def test_ended_engine_leaves_no_command_waiting(case: Case) -> None:
    case.session.sent(7, "star", {"node": 3})
    case.batch(alive=False)
    assert case.session.status == "dead" and not case.session.waiting
    assert case.left == [(7, "star", {"node": 3})]


def test_batch_is_acknowledged_after_the_listeners(case: Case) -> None:
    before = case.feed.acknowledged
    case.session.subscribe(
        lambda change: case.changes.append(ModelChange(frozenset(), reset=case.feed.acknowledged > before))
    )
    case.batch(ev.RunPaused())
    assert case.feed.acknowledged == before + 1
    assert not case.changes[-1].reset


def test_poll_period_grows_while_idle_or_unfocused(case: Case) -> None:
    assert case.feed.period == 0.1
    case.session.focus(False)
    assert case.feed.period == 1.0
    case.session.focus(True)
    case.batch(ev.RunPaused())
    assert case.feed.period == 1.0 and not case.session.is_moving


def test_starting_is_shown_until_the_engine_is_up() -> None:
    case = Case(alive=False)
    assert case.session.status == "dead"
    case.session.set_starting(True)
    assert case.session.doing == "starting…"
    case.batch(ev.EngineStarted(1, "host", "none", "open", 1, 1, "recombine"))
    assert (case.session.status, case.session.doing) == ("running", "")


def test_event_that_does_not_fold_is_reported(case: Case) -> None:
    case.session.take(Batch(case.feed.run, True, (ev.Event(10**6, 0, 1, 12345, ev.EvalDone("ok", score=1.0)),)))
    assert "damaged" in case.session.trouble
    assert "status" in case.changes[-1].parts
