"""Records of a task: read from its folder, one for each instance, and told beside what a run has reached."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from engine.cli.progress import ProgressLines
from engine.errors import TaskError
from engine.export.score_curve import draw_curve
from engine.journal.events import BestCrowned
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from engine.state.best_known import describe_claim, describe_record, record_entry, way_to_record
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.task.load import builtin_tasks, find_task, load_task
from engine.task.records import Record, best_record, share_of_way
from tests.conftest import Evolve
from tui.model.plot import Plot
from tui.model.quantities import Quantity
from tui.model.run_model import RunModel


def record(value: float, **settings: object) -> Record:
    return Record(value, "somebody", 2020, "somewhere", settings)


def state_with(*records: Record) -> RunState:
    """Return a sample run whose task has these records."""
    with JournalReader(Run(Path("sample_runs", "circle_packing_recombine")).db) as reader:
        state = fold_run(reader)
    state.spec = msgspec.structs.replace(state.spec, records=list(records))
    return state


def drawn(state: RunState, known: float | None) -> list[str]:
    """Return the rows of a plot of scores that marks a value."""
    quantity = Quantity("score", "score", "higher", lambda node: node.score)
    plot = Plot(40, 8, quantity, lambda node: float(node.id), mark=known)
    plot.load(state.nodes, state.best_steps)
    return [plot.text(row) for row in range(8)]


def test_record_is_that_of_the_instance() -> None:
    records = [record(1.0), record(2.0), record(9.0, points=13)]
    assert best_record(records, {"points": 11}, "maximize") == records[1]
    assert best_record(records, {"points": 11}, "minimize") == records[0]
    assert best_record(records, {"points": 13}, "minimize") == records[2]
    assert best_record([], {}, "maximize") is None


def test_share_of_the_way_from_seed_to_record() -> None:
    assert share_of_way(3.0, 2.0, 4.0) == 0.5
    assert share_of_way(1.5, 2.0, 1.0) == 0.5
    assert share_of_way(2.0, 2.0, 2.0) is None


def test_every_built_in_record_is_past_its_seed_and_has_its_source() -> None:
    known = {task.spec.name: task.spec for folder in builtin_tasks() if (task := load_task(folder)).spec.records}
    assert set(known) >= {"autocorrelation", "bin_packing", "circle_packing", "distance_ratio", "heilbronn"}
    assert all(spec.record is not None for spec in known.values())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[record]]\nvalue = nan\nwho = 'a'\nyear = 1\nsource = 'b'", "finite"),
        ("[[record]]\nvalue = 1.0\nwho = ' '\nyear = 1\nsource = 'b'", "empty"),
        ("[[record]]\nvalue = 1.0\nwho = 'a'\nyear = 1", "source"),
        ("[[records]]\nvalue = 1.0", "records"),
    ],
)
def test_wrong_records_are_named(tmp_path: Path, text: str, why: str) -> None:
    folder = tmp_path / "heilbronn"
    shutil.copytree(find_task("heilbronn"), folder)
    (folder / "records.toml").write_text(text)
    with pytest.raises(TaskError, match=why):
        load_task(folder)


def test_run_tells_its_way_to_the_record_and_a_claim_past_it() -> None:
    state = state_with(record(2.6359831))
    best = state.best_node
    assert best is not None and best.score is not None
    share = way_to_record(state)
    assert share is not None and 0.99 < share <= 1.0001
    assert "of the way from the seed" in describe_record(state)
    assert "claims to be better, to be verified" in describe_record(state_with(record(best.score - 0.1)))
    assert f"evolve verify RUN {best.id} --certificate" in describe_record(state_with(record(best.score - 0.1)))
    assert (describe_record(state_with()), record_entry(state_with())) == ("", None)
    told = record_entry(state)
    assert told is not None and (told["value"], told["share"]) == (2.6359831, share)


def test_claim_is_told_in_the_notes_and_lines_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with JournalReader(Run(Path("sample_runs", "circle_packing_recombine")).db) as reader:
        first, *events = list(reader.events())
    model, lines = RunModel(RunState(first)), ProgressLines()
    model.state.spec = msgspec.structs.replace(model.state.spec, records=[record(2.635)])
    for event in events:
        model.apply(event)
        if isinstance(event.data, BestCrowned):
            lines(event, model.state)
    best, state = model.state.best, model.state
    claim = f"node {best} claims to be better, to be verified: 'evolve verify RUN {best} --certificate FILE.json'"
    assert capsys.readouterr().err.count(claim) == 1, "earlier bests are none"
    (note,) = [note for note in model.notes if note.text.startswith("past the record")]
    assert (note.node, note.kind) == (best, "best") and claim in note.text
    assert f"'evolve verify mine {best} " in describe_claim(state, "mine")
    state.spec = msgspec.structs.replace(state.spec, name="another")
    assert describe_claim(state).endswith(f"'evolve verify RUN {best}' measures it again")


def test_list_of_runs_tells_the_way_to_the_record(tmp_path: Path, evolve: Evolve) -> None:
    shutil.copytree(Path("sample_runs", "data_curation_recombine"), tmp_path / "a")
    assert "to record" not in evolve("runs", "--runs", tmp_path).out
    shutil.copytree(Path("sample_runs", "autocorrelation_recombine"), tmp_path / "b")
    listed = {entry["task"]: entry["to_record"] for entry in evolve("runs", "--runs", tmp_path, "--json").json}
    assert listed["data_curation"] is None and 0.9 < listed["autocorrelation"] < 1
    told = evolve("runs", "--runs", tmp_path).out
    assert "to record" in told and f"{listed['autocorrelation']:.1%}" in told


def test_curve_and_plot_draw_a_record_that_is_near() -> None:
    near, far = state_with(record(2.7)), state_with(record(1e6))
    curves = [draw_curve(state) for state in (near, far, state_with())]
    assert [curve is not None and curve.record is not None for curve in curves] == [True, False, False]
    shown = [drawn(near, known) for known in (2.7, 1e6, None)]
    assert shown[0] != shown[2] and shown[1] == shown[2]
    assert sum(char != " " for char in shown[0][0] + shown[0][1]) >= 15, "a dotted line across"
