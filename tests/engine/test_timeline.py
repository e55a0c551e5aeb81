"""Timeline: the state at an event equals the fold of all events up to it, whichever states are kept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.journal import events as ev
from engine.journal.database import connect_writer, create_journal, insert_event
from engine.journal.reader import JournalReader
from engine.state import timeline
from engine.state.fold import apply, fold, fold_run
from engine.state.run_state import RunState
from engine.state.timeline import copy_state, run_timeline
from tests.tui.synthetic import Synthesizer, story

ACTS: list[tuple[ev.Data, bool]] = [
    (ev.NodeCommented("good"), True),
    (ev.NodeCommented("the run"), False),
    (ev.NodePinned(), True),
    (ev.NodeUnpinned(), True),
    (ev.NodePruned(), True),
    (ev.NodeStarred(), True),
    (ev.NodeRerun(1), True),
    (ev.RunPaused(now=True), False),
    (ev.RunResumed(), False),
    (ev.Injected("hint", text="a hint"), False),
    (ev.Injected("program", program="0" * 64, name="mine"), False),
    (ev.SettingsChanged({"rounds": 70}), False),
    (ev.TaskChanged({"brief.md": "edited"}), False),
    (ev.CallDone(1, "researcher", "m", tokens_in=10, tokens_out=5, usd=0.25), False),
    (ev.BudgetWarned("usd", 0.25, 0.5, 0.5), False),
    (ev.Telemetry({"cpu": 0.5}), False),
]


def steered(nodes: int) -> Iterator[ev.Event]:
    """A run in which every kind of act comes again and again."""
    draw = random.Random(5)
    seq = known = 0
    for events in story(Synthesizer(), nodes):
        for event in events:
            seq += 1
            known += isinstance(event.data, ev.DesignDone)
            yield event._replace(seq=seq)
        if known and draw.random() < 0.2:
            data, on_node = draw.choice(ACTS)
            seq += 1
            yield ev.Event(seq, event.at, None, draw.randrange(known) if on_node else None, data)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalReader]:
    """A journal of some 700 events."""
    path = tmp_path_factory.mktemp("timeline") / "run.db"
    connection = create_journal(path)
    connection.execute("BEGIN")
    for event in steered(60):
        insert_event(connection, event)
    connection.execute("COMMIT")
    connection.close()
    with JournalReader(path) as reader:
        yield reader


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is far is set by the test."""
    monkeypatch.setattr(timeline, "_FAR", timeline._FAR)


def plain(state: RunState) -> dict[str, Any]:
    """All that a state holds, to be compared."""
    whole = {**vars(state), "nodes": [msgspec.structs.asdict(node) for node in state.nodes]}
    whole["evaluations"] = {node: msgspec.structs.asdict(item) for node, item in state.evaluations.items()}
    whole["open_rounds"] = {number: msgspec.structs.asdict(item) for number, item in state.open_rounds.items()}
    return whole


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("far")
@given(places=st.lists(st.integers(0, 800), min_size=1, max_size=4), every=st.integers(1, 400))
def test_state_at_any_event_equals_fold_of_prefix(reader: JournalReader, places: list[int], every: int) -> None:
    timeline._FAR = every * 2
    line = run_timeline(reader, every)
    last = reader.last_seq()
    for place in places:
        found = line.at(place)
        expected = fold(reader.events(upto=max(1, min(place, last))))
        assert plain(found) == plain(expected)
        # Whoever asked may go on folding: neither the kept states nor those that follow may change by that.
        for event in reader.events(after=found.seq, upto=place + 40):
            apply(found, event)


def test_copy_of_state_is_independent(reader: JournalReader) -> None:
    state = fold_run(reader, 300)
    twin, before = copy_state(state), plain(copy_state(state))
    assert plain(twin) == plain(state)
    for event in reader.events(after=300):
        apply(twin, event)
    assert plain(state) == before and plain(twin) != before


def test_kept_states_stay_within_bounds(reader: JournalReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "_MOST_WEIGHT", 100)
    line = run_timeline(reader, 20)
    line.grow(reader.last_seq())
    assert line._every > 20 and sum(len(state.nodes) for _, state in line._kept) <= 100
    assert plain(line.at(333)) == plain(fold_run(reader, 333))


def test_timeline_grows_in_slices_and_follows_new_events(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    connection = create_journal(path)
    events = list(steered(20))
    for event in events[:100]:
        insert_event(connection, event)
    with JournalReader(path) as reader:
        line = run_timeline(reader, 30)
        for upto in (1, 45, 46, 100, 10**9):
            line.grow(upto)
            assert line.reached == min(upto, 100)
        insert_event(connection, events[100])
        assert line.at(101).seq == line.reached == 101
    connection.close()


def test_journal_that_does_not_fold_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    create_journal(path).close()
    connection = connect_writer(path)
    for event in list(steered(2))[:3]:
        insert_event(connection, event)
    insert_event(connection, ev.Event(4, 0, 1, 999, ev.NodePinned()))
    connection.close()
    with JournalReader(path) as reader, pytest.raises(JournalError, match="damaged at event 4"):
        run_timeline(reader).at(4)
