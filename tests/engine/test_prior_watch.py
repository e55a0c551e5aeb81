"""Proposals of runs in the cognition base: each text is proposed once and decided on by itself."""

from __future__ import annotations

from pathlib import Path

from engine.journal.blobs import insert_blob
from engine.journal.database import connect_writer, insert_event, sha256_of
from engine.journal.events import Event, PriorProposed, PriorRejected, RunForked
from engine.journal.reader import JournalReader
from engine.priors.place import PriorPlace, open_collection, place_of_run
from engine.priors.watch import PriorWatch, Proposal
from engine.runs.create import create_run
from engine.runs.manage import rename_run
from engine.settings.model import Settings
from engine.state.fold import fold_run
from engine.task.load import load_task
from tests.conftest import TaskMaker
from tests.engine.test_state import Script, fold, started


def proposal(name: str, title: str, body: str) -> Proposal:
    return Proposal(PriorProposed(name, title, sha256_of(body), [0]), body)


def test_decision_applies_to_one_text_only(tmp_path: Path) -> None:
    (tmp_path / "priors").mkdir()
    place = PriorPlace(tmp_path / "cognition.db", "demo", "demo", tmp_path / "priors")
    first, second = proposal("node-5-1", "First", "One text.\n"), proposal("node-5-1", "Second", "Another text.\n")
    collection = open_collection(place)
    watch = PriorWatch(place, "run")
    assert watch.read([first]).decided == watch.read([first]).decided == []
    collection.reject("first", "not so")
    assert watch.read([first]).decided == [PriorRejected("node-5-1", "not so")]
    for _ in range(2):
        assert watch.read([second]).decided == []
    assert [(entry.id, entry.status) for entry in collection.entries("pending", "rejected")] == [
        ("first", "rejected"),
        ("second", "pending"),
    ]
    assert watch.read([second], accept=True).decided[0].KIND == "prior.accepted"
    watch.close()
    collection.store.close()


def test_renamed_run_does_not_propose_again(make_task: TaskMaker, tmp_path: Path) -> None:
    run = create_run(load_task(make_task()), Settings(), tmp_path / "runs")
    first = proposal("node-0-1", "First", "One text.\n")
    connection = connect_writer(run.db)
    insert_blob(connection, first.text.encode())
    insert_event(connection, Event(2, 0, 0, 0, first.data))
    connection.close()
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    watch = PriorWatch(place_of_run(run.folder, state), run.name)
    assert watch.read([first]).decided == []
    watch.close()
    renamed = rename_run(run, "by-another-name")
    place = place_of_run(renamed.folder, state)
    watch = PriorWatch(place, renamed.name)
    assert watch.read([first]).decided == []
    watch.close()
    collection = open_collection(place)
    assert [(entry.id, entry.evidence["run"]) for entry in collection.entries("pending")] == [("first", renamed.name)]
    collection.store.close()


def test_fork_does_not_repeat_proposals_of_its_source() -> None:
    script = Script()
    script.add(started())
    script.add(proposal("node-0-1", "First", "One text.\n").data, 0, 0)
    assert list(fold(script.events).proposed) == ["node-0-1"]
    for own_priors, left in ((False, []), (True, ["node-0-1"])):
        forked = Script()
        forked.events = list(script.events)
        forked.add(RunForked("other", 2, own_priors=own_priors))
        assert list(fold(forked.events).proposed) == left


def test_first_read_reports_changes_since_the_journal(tmp_path: Path) -> None:
    folder = tmp_path / "priors"
    folder.mkdir()
    for name in ("edited", "gone", "new", "off", "on", "same"):
        (folder / f"{name}.md").write_text(f"# {name}\n\nOf {name}.\n")
    place = PriorPlace(tmp_path / "cognition.db", "demo", "demo", folder)
    before = PriorWatch(place, "run")
    shown = {prior.id: prior.revision for prior in before.read().priors if prior.id != "new"}
    before.close()
    (folder / "edited.md").write_text("# edited\n\nOf another thing.\n")
    (folder / "gone.md").unlink()
    collection = open_collection(place)
    collection.set_enabled("off", False)
    collection.store.close()
    after = PriorWatch(place, "run", {**shown, "on": "", "unknown": "0" * 64})
    told = {change.id: (change.change, change.number) for change in after.read().changes}
    assert told == {"edited": ("edited", 2), "gone": ("disabled", 1), "off": ("disabled", 2), "on": ("enabled", 1)}
    assert after.read().changes == []
    after.close()
