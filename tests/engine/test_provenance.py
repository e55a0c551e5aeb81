"""What came of the priors, as a fold of journals."""

from __future__ import annotations

from pathlib import Path

from cognition.collection import Collection
from cognition.store import Store
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.priors.place import place_in_journal, place_of_run
from engine.priors.usage import PriorUse, fold_use, use_over_runs
from engine.runs.fork import fork_run
from engine.state.fold import fold_run
from tests.engine.test_fork import write
from tests.engine.test_state import Script, started


def shown(*ids: str) -> list[ev.PriorShown]:
    return [ev.PriorShown(id_, "0" * 64, f"The {id_} idea", 1.0, "", 3) for id_ in ids]


def script() -> Script:
    """A seed (1), a swap that gains (2), a crossover that loses (1.5), one that crashes, and one of a model (4)."""
    made = Script()
    made.add(started())
    made.add(ev.RoundStarted(), 0)
    made.add(ev.DesignDone("0" * 64, "seed", "seed", ""), 0, 0)
    made.add(ev.EvalDone("ok", 1.0), 0, 0)
    made.add(ev.BestCrowned(1.0), 0, 0)
    made.add(ev.RoundEnded("node"), 0)
    for node, (operator, parents, given, score, why) in enumerate(
        [
            ("swap", [0], ["hop"], 2.0, ""),
            ("exchange", [1, 0], [], 1.5, ""),
            ("swap", [1], ["hop", "grid"], None, ""),
            ("full", [1], [], 4.0, "Following the Grid idea, but finer."),
            ("full", [0], [], 0.5, "Something else altogether."),
        ],
        start=1,
    ):
        made.add(ev.RoundStarted(), node)
        made.add(ev.LearnDone(parents[0], [], shown("hop", "grid")), node)
        made.add(ev.DesignDone("0" * 64, operator, "n", why, parents, given), node, node)
        made.add(ev.EvalDone("crashed" if score is None else "ok", score), node, node)
        if score in (2.0, 4.0):
            made.add(ev.BestCrowned(score, node - 1), node, node)
        made.add(ev.RoundEnded("node"), node)
    return made


def test_uses_gains_and_share_in_the_best_lineage(tmp_path: Path) -> None:
    made = script()
    run = write(tmp_path / "run", made.events)
    with JournalReader(run.db) as reader:
        found = fold_use(reader)
    hop, grid = found.priors["hop"], found.priors["grid"]
    assert (hop.shown, hop.given, hop.scored, hop.gain, hop.number) == (5, 2, 1, 1.0, 3)
    assert (grid.shown, grid.given, grid.scored, grid.gain) == (5, 2, 1, 2.0)
    assert (hop.gains, grid.gains) == (1, 1)
    assert (hop.share, grid.share) == (0.5, 0.5), "the best path is seed → 1 → 4"
    assert hop.last == max(e.at for e in made.events if isinstance(e.data, ev.LearnDone))
    assert found.ideas == {0: "person", 1: "prior", 2: "experience", 3: "prior", 4: "prior", 5: "novel"}


def test_a_fork_counts_only_what_is_its_own(tmp_path: Path) -> None:
    made = script()
    run = write(tmp_path / "run", made.events)
    at = next(e.seq for e in made.events if e.round == 2 and isinstance(e.data, ev.RoundEnded))
    fork = fork_run(run, tmp_path / "runs", at_seq=at).run
    with JournalReader(fork.db) as reader:
        assert fold_use(reader).priors == {}


def test_figures_over_runs_are_kept_and_follow_a_rename(tmp_path: Path) -> None:
    made = script()
    run = write(tmp_path / "runs" / "one", made.events)
    with JournalReader(run.db) as reader:
        place = place_of_run(run.folder, fold_run(reader))
    with Store(place.base) as store:
        collection = Collection(store, place.collection, place.task, tmp_path / "priors")
        collection.add("hop", "# Hop\n")
        uses = use_over_runs(collection, [run.folder])
        assert uses["hop"].given == 2
        second = write(tmp_path / "runs" / "two", made.events)
        (tmp_path / "runs" / "broken").mkdir()
        broken = type(run)(tmp_path / "runs" / "broken")
        uses = use_over_runs(collection, [run.folder, second.folder, broken.folder])
        assert (uses["hop"].given, uses["hop"].share) == (4, 0.5)
        assert store.connection.execute("SELECT count(*) FROM usage").fetchone() == (2,)
        store.connection.execute("UPDATE usage SET figures = '{}' WHERE run = ?", (str(second.folder),))
        again = use_over_runs(collection, [run.folder, second.folder])
        assert again["hop"].given == 2, "what is kept is not folded again"
        collection.rename("hop", "leap")
        assert use_over_runs(collection, [run.folder])["leap"].given == 2
        other = Collection(store, "another", place.task, tmp_path)
        assert use_over_runs(other, [run.folder]) == {}
    assert PriorUse().gain is None and PriorUse().share is None


def test_place_of_priors_is_found_without_folding_the_run(tmp_path: Path) -> None:
    written = script()
    ends = [len(written.events)]
    for data in (
        ev.TaskChanged({}, adopted=True, spec=started().spec, source="/b", priors="/b/priors"),
        ev.RunForked("/x", 9, own_priors=True),
        ev.RunForked("/y", 9, own_priors=False),
        ev.TaskChanged({"seed.py": "0" * 64}),
    ):
        written.add(data)
        ends.append(len(written.events))
    for end in ends:
        run = write(tmp_path / str(end), written.events[:end])
        with JournalReader(run.db) as reader:
            assert place_in_journal(run.folder, reader) == place_of_run(run.folder, fold_run(reader)), end
    for folder in (Path(__file__).parents[2] / "sample_runs").iterdir():
        if (folder / "run.db").exists():
            with JournalReader(folder / "run.db") as reader:
                assert place_in_journal(folder, reader) == place_of_run(folder, fold_run(reader)), folder
