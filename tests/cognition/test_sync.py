"""Sync of files and base: after any edits both are the same and nothing is lost."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cognition.collection import Collection
from cognition.prior import PriorError
from cognition.store import CognitionError, Store
from cognition.sync import Sync, SyncChange, problems_of, trouble_by_prior
from tests.cognition.base import Base


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Base]:
    """Return an empty base."""
    made = Base(tmp_path)
    yield made
    made.store.close()


def test_saved_file_becomes_a_revision_and_an_edit_is_written_to_the_file(base: Base) -> None:
    base.save("a.md", "# One\n")
    assert base.run() == [("a", "added")]
    base.save("a.md", "# Two\n")
    assert base.run() == [("a", "edited")]
    assert [(r.number, r.author) for r in base.priors.history("a")] == [(1, "file"), (2, "file")]
    base.priors.edit("a", "# Three\n", 2)
    base.priors.add("b", "# B\n")
    assert base.run() == [("a", "written"), ("b", "written")]
    assert base.files() == {"a.md": "# Three\n", "b.md": "# B\n"}
    base.priors.remove("b")
    assert base.run() == [("b", "deleted")]
    base.priors.restore("b")
    assert base.run() == [("b", "written")]
    assert base.files()["b.md"] == "# B\n"


def test_unchanged_files_are_not_read_again(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    base.save("a.md", "# One\n")
    os.utime(base.folder / "a.md", (1, 1))
    base.sync.run()
    read: list[str] = []
    from cognition import sync

    monkeypatch.setattr(sync, "read_prior", lambda path: read.append(path.name))
    assert base.sync.run().changes == []
    assert Sync(base.priors).run().changes == [], "another process finds the stamps in the base"
    assert read == []


def test_file_with_a_future_time_is_read_once(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    base.save("a.md", "# One\n")
    ahead = time.time() + 3600
    os.utime(base.folder / "a.md", (ahead, ahead))
    assert base.run() == [("a", "added")]
    read: list[str] = []
    from cognition import sync

    with monkeypatch.context() as patch:
        patch.setattr(sync, "read_prior", lambda path: read.append(path.name))
        assert base.sync.run().changes == []
        assert Sync(base.priors).run().changes == []
    assert read == []
    base.save("a.md", "# Two\n")
    assert base.run() == [("a", "edited")], "what is written with a clock set back is seen"


def test_edits_of_file_and_base_at_once_keep_both_texts(base: Base) -> None:
    base.save("a.md", "# One\n")
    base.run()
    base.priors.edit("a", "# From the base\n", 1)
    base.save("a.md", "# From the file\n")
    assert base.run() == [("a", "conflict"), ("a", "written")]
    assert base.files() == {"a.md": "# From the base\n", "a.conflict-1.md": "# From the file\n"}
    assert "at once" in base.problems()["a.conflict-1.md"] and "a.md" in base.problems()["a.conflict-1.md"]
    assert [prior.id for prior in base.priors.priors()] == ["a"]
    base.save("a.md", "# Both\n")
    (base.folder / "a.conflict-1.md").unlink()
    assert base.run() == [("a", "edited")]
    assert base.problems() == {}


def test_same_edit_in_file_and_base_is_no_conflict(base: Base) -> None:
    base.save("a.md", "# One\n")
    base.run()
    base.priors.edit("a", "# Two\n", 1)
    base.save("a.md", "# Two\n")
    assert base.run() == []
    assert base.files() == {"a.md": "# Two\n"}


def test_vanished_file_disables_its_prior_until_it_is_back(base: Base) -> None:
    base.save("a.md", "# A\n")
    base.run()
    (base.folder / "a.md").unlink()
    assert base.run() == [("a", "gone")]
    entry = base.priors.get("a")
    assert (entry.status, entry.gone, entry.prior.enabled, base.priors.priors()) == ("active", True, False, [])
    base.save("a.md", "# A\n")
    assert base.run() == [("a", "back")]
    assert base.texts("a") == ["# A\n"]
    (base.folder / "a.md").unlink()
    base.run()
    base.priors.set_enabled("a", True)
    assert base.run() == [("a", "written")]
    (base.folder / "a.md").unlink()
    base.priors.edit("a", "# Edited meanwhile\n")
    assert base.run() == [("a", "written")]
    assert base.files() == {"a.md": "# Edited meanwhile\n"}


def test_vanished_folder_disables_all_priors_until_it_is_back(base: Base) -> None:
    base.save("a.md", "# A\n")
    base.save("b.md", "---\nenabled: false\n---\n# B\n")
    base.run()
    base.folder.rename(base.folder.with_name("away"))
    assert base.run() == [("a", "gone"), ("b", "gone")]
    assert base.priors.priors() == [] and not base.folder.exists()
    base.folder.with_name("away").rename(base.folder)
    base.run()
    assert [prior.id for prior in base.priors.priors()] == ["a"]


def test_renamed_file_keeps_its_history(base: Base) -> None:
    base.save("old.md", "# A\n")
    base.run()
    base.save("old.md", "# B\n")
    base.run()
    (base.folder / "old.md").rename(base.folder / "new.md")
    assert base.run() == [("new", "renamed")]
    assert base.texts("new") == ["# A\n", "# B\n"]
    assert base.priors.get("new").former == ("old",)
    assert base.priors.find("old") is None
    (base.folder / "new.md").rename(base.folder / "New.md")
    assert base.run() == [("New", "renamed")]
    (base.folder / "New.md").unlink()
    base.run()
    base.save("later.md", "# B\n")
    assert base.run() == [("later", "renamed")], "in two steps too"
    assert len(base.texts("later")) == 2


def test_rename_of_one_of_two_equal_texts_is_a_new_prior(base: Base) -> None:
    base.save("a.md", "# Same\n")
    base.save("b.md", "# Same\n")
    base.run()
    (base.folder / "a.md").unlink()
    (base.folder / "b.md").rename(base.folder / "c.md")
    assert set(base.run()) == {("a", "gone"), ("b", "gone"), ("c", "added")}


def test_file_replaced_by_rename_is_an_edit(base: Base) -> None:
    base.save("a.md", "# A\n")
    base.run()
    stamp = (base.folder / "a.md").stat()
    base.save(".a.md.swp", "swap")
    base.save("a.md~", "backup")
    base.save("#a.md#", "auto-save")
    base.save("4913", "")
    os.utime(base.folder / ".a.md.swp", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    base.save("new", "# B\n")
    os.utime(base.folder / "new", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    (base.folder / "new").rename(base.folder / "a.md")
    assert base.run() == [("a", "edited")]
    assert [entry.id for entry in base.priors.entries()] == ["a"]


BROKEN = {
    "front.md": (b"---\ncolour: red\n---\n# A\n", "colour"),
    "half.md": (b"---\nweight: 0.\ntit", ""),
    "empty.md": (b"", "empty"),
    "binary.md": (b"\x89PNG\0\1", "binary"),
    "latin.md": (b"caf\xe9", "UTF-8"),
    "long.md": (b"x" * 5_000_000, "too long"),
    "control.md": (b"# A\n\x1b]0;title\x07", "U+001B"),
}


def test_invalid_file_is_a_problem_and_the_last_good_revision_stays(base: Base) -> None:
    for name in BROKEN:
        base.save(name, "# Good\n")
    base.save("link.md", "# Good\n")
    base.run()
    for name, (content, _) in BROKEN.items():
        (base.folder / name).write_bytes(content)
    (base.folder / "link.md").unlink()
    (base.folder.parent / "outside.md").write_text("# Secret\n")
    (base.folder / "link.md").symlink_to(base.folder.parent / "outside.md")
    (base.folder / "folder.md").mkdir()
    (base.folder / os.fsdecode(b"\xff.md")).write_text("# Strange\n")
    base.run()
    told = base.problems()
    for name, (_, why) in BROKEN.items():
        if why:
            assert why in told[name], name
    assert "link" in told["link.md"] and "UTF-8" in told["\ufffd.md"]
    good = {prior.id: prior.text for prior in base.priors.priors()}
    assert good == dict.fromkeys([*(Path(n).stem for n in BROKEN if n != "half.md"), "link"], "# Good\n") | {
        "half": "---\nweight: 0.\ntit"
    }, "without its end a front matter is a text like any other"
    base.priors.edit("front", "# Edited in the base\n")
    base.priors.remove("control")
    base.run()
    assert (base.folder / "front.md").read_bytes() == BROKEN["front.md"][0], "what cannot be read is not written over"
    assert (base.folder / "control.md").read_bytes() == BROKEN["control.md"][0]
    base.save("front.md", "# Mended\n")
    assert base.run() == [("front", "conflict"), ("front", "written")]
    assert base.files_of("front") == {"front.md": "# Edited in the base\n", "front.conflict-1.md": "# Mended\n"}


def test_trouble_of_a_prior_is_told_until_it_is_mended(base: Base) -> None:
    def trouble() -> dict[str, str]:
        report = base.sync.run()
        return trouble_by_prior(base.priors.entries(), report.problems)

    base.save("a.md", "# One\n")
    base.save("head.md", "weight: 3\n---\n\n# Head\n")
    assert set(trouble()) == {"head"}
    base.save("a.md", "---\nwieght: 3\n---\n# Two\n")
    told = trouble()
    assert "wieght" in told["a"] and "revision 1 stays in use" in told["a"]
    assert "is read as text" in told["head"]
    assert trouble() == told, "also when nothing changed since"
    base.save("a.md", "# Two\n")
    base.save("head.md", "---\nweight: 3\n---\n\n# Head\n")
    assert trouble() == {}


def test_names_that_differ_only_in_case_are_a_problem(base: Base) -> None:
    base.save("Note.md", "# First\n")
    base.run()
    base.save("note.md", "# Second\n")
    assert base.run() == []
    assert "only in case" in base.problems()["note.md"]
    assert [prior.text for prior in base.priors.priors()] == ["# First\n"]
    (base.folder / "Note.md").unlink()
    base.save("note.md", "# Third\n")
    assert base.run() == [("note", "renamed"), ("note", "edited")]


def test_line_ends_of_a_file_are_kept(base: Base) -> None:
    (base.folder / "a.md").write_bytes(b"---\r\nweight: 1\r\n---\r\n# A\r\n")
    base.run()
    base.priors.set_weight("a", 2.0)
    base.run()
    assert (base.folder / "a.md").read_bytes() == b"---\r\nweight: 2\r\n---\r\n# A\r\n"
    assert base.run() == []


def test_new_file_restores_a_removed_prior(base: Base) -> None:
    base.save("a.md", "# A\n")
    base.run()
    base.priors.remove("a")
    base.save("a.md", "# Edited meanwhile\n")
    assert base.run() == [("a", "back")]
    assert base.texts("a") == ["# A\n", "# Edited meanwhile\n"]


def test_accepted_proposal_becomes_a_file(base: Base) -> None:
    base.priors.propose("lesson", "# Lesson\n", run="demo")
    assert base.run() == [] and base.files() == {}
    base.priors.accept("lesson")
    assert base.run() == [("lesson", "written")]
    base.priors.propose("other", "# Other\n", run="demo")
    base.save("other.md", "# By hand\n")
    assert base.run() == [("other", "back")]
    assert base.priors.get("other").prior.enabled


def test_unwritable_folder_is_a_problem(base: Base) -> None:
    base.priors.add("a", "# A\n")
    base.folder.rmdir()
    base.folder.write_text("a file where the folder was")
    (problem,) = base.sync.run().problems
    assert "cannot be read or written" in problem.text
    base.folder.unlink()
    assert base.run() == [("a", "written")]


def test_sync_by_another_process_is_a_problem(base: Base) -> None:
    base.save("a.md", "# A\n")
    lock = os.open(base.store.path.with_name("cognition.lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    report = Sync(base.priors, wait_seconds=0.02).run()
    assert report.changes == [] and "busy" in report.problems[0].text
    os.close(lock)
    assert base.run() == [("a", "added")]


def test_pass_waits_for_a_commit_that_is_being_written(base: Base) -> None:
    base.save("a.md", "# One\n")
    os.utime(base.folder / "a.md", (1, 1))
    base.run()
    changes: list[SyncChange] = []
    waiting = threading.Thread(target=lambda: changes.extend(base.sync.run().changes))
    with Store(base.store.path) as other:
        theirs = Collection(other, "task", "task", base.folder)
        with other.writing():
            theirs.edit("a", "# Two\n")
            waiting.start()
            waiting.join(0.2)
            assert waiting.is_alive(), "the pass has read the base before the commit"
        waiting.join()
    assert [(change.id, change.what) for change in changes] == [("a", "written")]


def test_pass_says_that_a_write_goes_on(base: Base) -> None:
    base.save("a.md", "# A\n")
    with Store(base.store.path, busy_seconds=0.02) as store:
        impatient = Sync(Collection(store, "task", "task", base.folder))
        with base.store.writing():
            (problem,) = impatient.run().problems
        assert "is writing the priors' base" in problem.text
    assert base.run() == [("a", "added")]


def test_lost_base_is_rebuilt_from_the_files(base: Base, tmp_path: Path) -> None:
    base.save("a.md", "# A\n")
    base.run()
    base.store.close()
    for path in tmp_path.glob("cognition.db*"):
        path.unlink()
    again = Base(tmp_path)
    assert again.run() == [("a", "added")]
    again.store.close()


NAMES = st.sampled_from(["a", "b", "c"])
TEXTS = st.integers(0, 5).map(lambda number: f"# Text {number}\n")


class Everywhere(RuleBasedStateMachine):
    """Edit files and base in any order: every saved text is kept, and both agree in the end."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.base = Base(Path(self._folder.name))
        self.said: set[str] = set()
        """Texts that a pass found in a file, or that the base had."""

    @rule(name=NAMES, text=TEXTS)
    def save(self, name: str, text: str) -> None:
        self.base.save(f"{name}.md", text)

    @rule(name=NAMES)
    def break_(self, name: str) -> None:
        self.base.save(f"{name}.md", "---\ncolour: red\n---\n")

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.base.folder / f"{name}.md").unlink(missing_ok=True)

    @rule(old=NAMES, new=NAMES)
    def move(self, old: str, new: str) -> None:
        if (self.base.folder / f"{old}.md").exists():
            (self.base.folder / f"{old}.md").rename(self.base.folder / f"{new}.md")

    @rule(name=NAMES, text=TEXTS, verb=st.sampled_from(["add", "edit", "remove", "restore", "disable", "enable"]))
    def change(self, name: str, text: str, verb: str) -> None:
        priors = self.base.priors
        try:
            if verb in ("add", "edit"):
                self.said.add((priors.add if verb == "add" else priors.edit)(name, text).prior.text)
            elif verb in ("remove", "restore"):
                (priors.remove if verb == "remove" else priors.restore)(name)
            else:
                self.said.add(priors.set_enabled(name, verb == "enable").prior.text)
        except (CognitionError, PriorError):
            pass

    @rule()
    def sync(self) -> None:
        self.said |= {text for name, text in self.base.files().items() if "colour" not in text}
        self.base.sync.run()
        assert Sync(self.base.priors).run().changes == []
        priors, files = self.base.priors, self.base.files()
        broken = {problem.name for problem in problems_of(priors)}
        for entry in priors.entries():
            if f"{entry.id}.md" not in broken:
                assert files.get(f"{entry.id}.md") == (None if entry.gone else entry.prior.text)
        kept = set(files.values())
        for entry in priors.entries("active", "removed", "pending", "rejected"):
            kept |= set(self.base.texts(entry.id))
            assert [r.number for r in priors.history(entry.id)] == list(range(1, entry.prior.number + 1))
        assert self.said <= kept

    @invariant()
    def another_process_sees_the_same(self) -> None:
        with Store(self.base.store.path) as store:
            count = store.connection.execute("SELECT count(*) FROM revisions").fetchone()
        assert count == self.base.store.connection.execute("SELECT count(*) FROM revisions").fetchone()

    def teardown(self) -> None:
        self.base.store.close()
        self._folder.cleanup()


TestEverywhere = Everywhere.TestCase
TestEverywhere.settings = settings(stateful_step_count=25)
