"""Priors of a run from elsewhere: read from its journal, copied into a base on request, plotted over the rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.database import connect_writer, sha256_of
from engine.journal.reader import JournalReader
from engine.priors.place import open_collection, place_of_task
from engine.priors.recorded import copy_priors, recorded_priors
from engine.runs.folder import Run
from engine.task.load import load_task
from tests.conftest import TaskMaker
from tests.e2e.runs import events
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.synthetic import add_events, make_run
from tests.tui.test_model import ROOT
from tui.model.prior_gains import gain_lines, gains_by_prior, gains_of
from tui.model.run_model import fold_model
from tui.screens.live import LiveScreen
from tui.screens.recorded_priors import RecordedPriorsScreen

NEWER = "# Hexagonal packings\n\nA newer text.\n"


@pytest.fixture
def foreign(runs: Path) -> Run:
    """A run whose priors lie in a folder of another machine; one of them was changed before its end."""
    run = make_run(runs / "foreign", 40, end="paused", priors=runs.parent / "gone" / "priors")
    connection = connect_writer(run.db)
    insert_blob(connection, NEWER.encode())
    insert_blob(connection, b"# Removed\n\nOnce.\n")
    connection.commit()
    connection.close()
    add_events(
        run,
        (ev.PriorChanged("hexagonal", sha256_of(NEWER), "edited", "Hexagonal packings", 2), None),
        (ev.PriorChanged("late", sha256_of(b"# Removed\n\nOnce.\n"), "added", "Removed", 1), None),
        (ev.PriorChanged("late", "", "removed"), None),
        (ev.PriorChanged("lost", "f" * 64, "added", "Its text is not there", 1), None),
    )
    return run


def test_journal_has_the_last_text_of_each_prior(foreign: Run) -> None:
    with JournalReader(foreign.db) as reader:
        priors = {prior.id: prior for prior in recorded_priors(reader)}
        early = recorded_priors(reader, 60)
    learned = events(foreign, ev.LearnDone)
    assert set(priors) == {"hexagonal", "late"}
    found = priors["hexagonal"]
    assert (found.text, found.number, found.state, found.shown) == (NEWER, 2, "on", len(learned))
    assert found.last == max(event.round or 0 for event in learned)
    assert (priors["late"].state, priors["late"].shown) == ("removed", 0)
    assert [prior.id for prior in early] == ["hexagonal"] and early[0].text != NEWER


def test_copied_priors_leave_what_is_there_as_it_is(foreign: Run, make_task: TaskMaker, workspace: Path) -> None:
    task = make_task(priors={"late.md": "# Mine\n"})
    place = place_of_task(load_task(task))
    with JournalReader(foreign.db) as reader:
        priors = recorded_priors(reader)
    outside = priors[0]._replace(id="../evil")
    first = copy_priors([*priors, outside], place, foreign.name)
    assert (first.added, first.same, first.other, len(first.refused)) == (1, 0, ("late",), 1)
    assert (task / "priors" / "hexagonal.md").read_text() == NEWER and not (task / "evil.md").exists()
    assert (task / "priors" / "late.md").read_text() == "# Mine\n"
    again = copy_priors(priors, place, foreign.name)
    assert (again.added, again.same, again.other) == (0, 1, ("late",))
    collection = open_collection(place)
    try:
        (revision,) = collection.history("hexagonal")
        assert (revision.author, revision.message) == ("import", "from run foreign")
    finally:
        collection.store.close()


async def test_run_from_elsewhere_shows_and_copies_its_priors(
    foreign: Run, make_app: Maker, make_task: TaskMaker, workspace: Path
) -> None:
    task = make_task()
    app = make_app(foreign)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, RecordedPriorsScreen), "the screen")
        await until(pilot, lambda: "A newer text" in text_of(app), "its text")
        text = text_of(app)
        assert "2, read-only" in text and "used in 3" in text and "change on the parent, by round" in text
        await pilot.press("a", "ctrl+u", *"nothing", "enter")
        await until(pilot, lambda: "nothing" in str(app.screen.query_one("#hint").render()), "the refusal")
        await pilot.press("ctrl+u", *str(task), "enter")
        await until(pilot, lambda: "1 copied" in text_of(app), "the copy")
        assert (task / "priors" / "hexagonal.md").read_text() == NEWER
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), "the run again")


def test_gains_of_a_prior_are_those_of_its_nodes() -> None:
    model: Any = fold_model(events(Run(ROOT / "sample_runs" / "circle_packing_mixed")))
    gains = gains_of(model, "coordinate-climb")
    assert [node.id for node, _ in gains] == [n.id for n in model.state.nodes if "coordinate-climb" in n.priors]
    text = "\n".join("".join(span.text for span in line) for line in gain_lines(model, "coordinate-climb", 80))
    assert f"used in {len(gains)} nodes" in text and "#16 " in text and "+0.0070" in text
    assert gain_lines(model, "never-used", 80) == []
    by_prior = gains_by_prior(model)
    assert by_prior["coordinate-climb"] == gains
    assert set(by_prior) == {prior for node in model.state.nodes for prior in node.priors}
