"""Forks hold the same events byte for byte and only the blobs that these name; the source is only read."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RunError, UsageError
from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.database import create_journal, insert_event, sha256_of
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, find_run
from engine.runs.fork import fork_run
from engine.runs.status import run_status, summarize
from engine.state.fold import fold_run
from tests.engine.test_state import Script, fold, journals, shape, started


def write(folder: Path, events: list[ev.Event], blobs: list[bytes] = []) -> Run:  # noqa: B006
    folder.mkdir(parents=True)
    connection = create_journal(folder / "run.db")
    connection.execute("BEGIN")
    for event in events:
        insert_event(connection, event)
    for content in blobs:
        insert_blob(connection, content)
    connection.execute("COMMIT")
    connection.close()
    return Run(folder)


def rows(run: Run) -> list[tuple[object, ...]]:
    with JournalReader(run.db) as reader:
        return list(reader.rows())


@given(journals(), st.data())
@settings(max_examples=25, deadline=None)
def test_fork_folds_to_state_of_its_source(events: list[ev.Event], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(events)))
    with tempfile.TemporaryDirectory() as folder:
        source = write(Path(folder) / "source", events)
        made = fork_run(source, Path(folder) / "runs", at_seq=at)
        with JournalReader(made.run.db) as reader:
            assert shape(fold_run(reader, at)) == shape(fold(events[:at]))
            after = list(reader.events(after=at))
        assert rows(made.run)[:at] == rows(source)[:at]
        assert isinstance(after[0].data, ev.RunForked)
        assert after[0].seq == at + 1
        # All that a crash could not have separated stays together.
        assert [type(event.data) for event in after[1:]] == (
            [ev.BestCrowned]
            if at < len(events)
            and isinstance(events[at - 1].data, ev.EvalDone)
            and isinstance(events[at].data, ev.BestCrowned)
            else []
        )


def script_with_programs() -> tuple[Script, list[bytes]]:
    script = Script()
    seed, first, second, rejected, curve = b"seed", b"first", b"second" * 200, b"rejected", b"[]"
    begin = started()
    script.add(ev.RunStarted(begin.task, begin.settings, begin.spec, {"a b/seed.py": sha256_of(seed)}))
    script.add(ev.RoundStarted(), 0)
    for node, program in enumerate((seed, first, second)):
        script.add(ev.RoundStarted(), node)
        script.add(ev.LearnDone(0, [], [ev.PriorShown("p", sha256_of(f"prior {node}"), "t", 1, "")]) if node else
                   ev.RoundStarted(), node)  # fmt: skip
        if node == 2:
            script.add(ev.DesignRejected(0, "static", "no", program=sha256_of(rejected)), node)
        script.add(ev.DesignDone(sha256_of(program), "tune", "n", "", digest=sha256_of(rejected)), node, node)
        script.add(ev.EvalStageDone("explore", "ok", score=1.0, curve_blob=sha256_of(curve)), node, node)
        script.add(ev.EvalDone("ok", 1.0), node, node)
        script.add(ev.AnalyzeDone(f'he said "program":"{sha256_of(rejected)}"'), node, node)
        script.add(ev.RoundEnded("node"), node)
    return script, [seed, first, second, rejected, curve, b"prior 1", b"prior 2"]


def names_of(run: Run) -> set[str]:
    with JournalReader(run.db) as reader:
        return {row[0].hex() for row in reader._execute("SELECT sha256 FROM blobs")}


def test_fork_holds_only_blobs_of_its_events(tmp_path: Path) -> None:
    script, blobs = script_with_programs()
    source = write(tmp_path / "source", script.events, blobs)
    end_of_first = next(e.seq for e in script.events if e.round == 1 and isinstance(e.data, ev.RoundEnded))
    part = fork_run(source, tmp_path / "runs", at_seq=end_of_first)
    assert names_of(part.run) == {sha256_of(b) for b in (b"seed", b"first", b"[]", b"prior 1")}
    whole = fork_run(source, tmp_path / "runs")
    assert names_of(whole.run) == names_of(source)
    with JournalReader(whole.run.db) as reader:
        assert reader.blob(sha256_of(b"second" * 200)) == b"second" * 200


def test_warm_start_is_part_of_the_first_event(tmp_path: Path) -> None:
    script = Script()
    script.add(started())
    script.add(ev.RunWarmed([ev.WarmProgram(sha256_of(b"better"), "other", 3)]))
    script.add(ev.RoundStarted(), 0)
    made = fork_run(write(tmp_path / "source", script.events, [b"better"]), tmp_path / "runs", at_seq=1)
    with JournalReader(made.run.db) as reader:
        state = fold_run(reader)
        assert [item.node for item in state.warm] == [3] and reader.blob(sha256_of(b"better")) == b"better"


def test_fork_restores_priors_of_its_event(tmp_path: Path) -> None:
    script, blobs = script_with_programs()
    script.add(ev.PriorChanged("q", sha256_of("new text"), "added"))
    script.add(ev.PriorChanged("p", sha256_of("prior 2"), "disabled"))
    script.add(ev.PriorChanged("lost", sha256_of("never kept"), "added"))
    source = write(tmp_path / "source", script.events, [*blobs, b"new text"])
    at = next(e.seq for e in script.events if e.round == 1 and isinstance(e.data, ev.RoundEnded))

    def own(made: Run) -> dict[str, str]:
        return {path.name: path.read_text() for path in (made.folder / "priors").glob("*")}

    early = fork_run(source, tmp_path / "runs", at_seq=at, priors_at_seq=True)
    assert (early.own_priors, own(early.run)) == (1, {"p.md": "prior 1"})
    late = fork_run(source, tmp_path / "runs", priors_at_seq=True)
    assert own(late.run) == {"q.md": "new text"}
    # A fork of a run that has priors of its own takes them along as they are today.
    (late.run.folder / "priors" / "q.md").write_text("edited")
    again = fork_run(late.run, tmp_path / "runs")
    assert own(again.run) == {"q.md": "edited"}
    assert fork_run(late.run, tmp_path / "runs", at_seq=at).own_priors is None


def test_seed_and_settings_are_one_event_of_fork(tmp_path: Path) -> None:
    script, blobs = script_with_programs()
    source = write(tmp_path / "source", script.events, blobs)
    made = fork_run(source, tmp_path / "runs", seed=7, change={"rounds": 9, "retrieval": {"top_k": 1}})
    with JournalReader(made.run.db) as reader:
        state = fold_run(reader)
        last = list(reader.events())[-1].data
    assert last == ev.SettingsChanged({"rounds": 9, "retrieval": {"top_k": 1}, "seed": 7})
    assert (state.settings.seed, state.settings.rounds, state.settings.retrieval.top_k) == (7, 9, 1)
    assert (state.status, run_status(made.run, state)) == ("stopped", "stopped")
    assert state.engine_ms == fold(script.events).engine_ms, "the time until the fork is nobody's work"


def test_other_weights_crown_another_node_of_fork(tmp_path: Path) -> None:
    script = Script()
    script.add(started())
    for node, (score, m) in enumerate([(1.0, 5.0), (2.0, 9.0), (1.5, 2.0)]):
        script.add(ev.RoundStarted(), node)
        script.design(node, [0] if node else [])
        script.add(ev.EvalDone("ok", score, {"m": m}), node, node)
        if node < 2:
            script.add(ev.BestCrowned(score), node, node)
        script.add(ev.RoundEnded("node"), node)
    source = write(tmp_path / "source", script.events)
    composite = {"kind": "composite", "parts": {"m": {"direction": "minimize"}}}
    for change, best in (({"rounds": 9}, 1), ({"fitness": composite}, 2)):
        with JournalReader(fork_run(source, tmp_path / "runs", change=change).run.db) as reader:
            assert fold_run(reader).best == best
    with pytest.raises(UsageError, match="lacks a part of that fitness"):
        fork_run(source, tmp_path / "runs", change={"fitness": {"judge": 0.5}})
    # The same where the other run was about to crown it.
    script.add(ev.SettingsChanged({"fitness": composite}))
    torn = write(tmp_path / "torn", script.events)
    with JournalReader(fork_run(torn, tmp_path / "runs").run.db) as reader:
        assert fold_run(reader).best == 2


def test_failed_fork_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    script, blobs = script_with_programs()
    source = write(tmp_path / "source", script.events, blobs)
    runs = tmp_path / "runs"
    last = len(script.events)
    for at in (0, -1, last + 1):
        with pytest.raises(UsageError, match=rf"has no event {at}; its events are 1 to {last}"):
            fork_run(source, runs, at_seq=at)
    for change in ({"rounds": "many"}, {"no_such": 1}, {"designer": {"name": "llm"}}):
        with pytest.raises(UsageError, match="set"):
            fork_run(source, runs, change=change)
    assert not runs.exists()
    fork_run(source, runs, name="taken")
    with pytest.raises(RunError, match="there is a run 'taken' already"):
        fork_run(source, runs, name="taken")
    with pytest.raises(RunError, match="cannot name a run"):
        fork_run(source, runs, name="../up")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        fork_run(source, tmp_path / "file")
    assert [path.name for path in runs.iterdir()] == ["taken"]


def test_fork_is_newer_than_source_and_gets_free_name(tmp_path: Path) -> None:
    script, blobs = script_with_programs()
    source = write(tmp_path / "runs" / "source", script.events, blobs)
    made = [fork_run(source, tmp_path / "runs", at_seq=3).run for _ in range(3)]
    assert [run.name for run in made] == ["source-at-3", "source-at-3-2", "source-at-3-3"]
    assert find_run(None, tmp_path / "runs").name in {run.name for run in made}
    assert summarize(made[0])["started"] > summarize(source)["started"]


def test_short_journal_can_be_forked_twice_at_every_event(tmp_path: Path) -> None:
    script, blobs = script_with_programs()
    source = write(tmp_path / "source", script.events, blobs)
    for at in range(1, len(script.events) + 1):
        once = fork_run(source, tmp_path / "once", at_seq=at).run
        twice = fork_run(once, tmp_path / "twice").run
        kept = rows(once)
        assert rows(twice)[: len(kept)] == kept
        assert all(a[0] + 1 == b[0] for a, b in itertools.pairwise(rows(twice)))
