"""Pictures that evaluators report: kept beside the node, drawn in braille and as SVG, refused if they are none."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from engine.evaluation import evolve_task
from engine.evaluation.picture import Picture, decode_picture
from engine.export.drawing import SIDE, draw_picture
from tests.conftest import Evolve, TaskMaker
from tests.engine.tasks.mathematics import TASKS, construct, task
from tui.model.picture import picture_rows

CORNERS = Picture("points", [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
CIRCLE = Picture("circles", [[0.5, 0.5, 0.5]])
STEPS = Picture("steps", [[0.0], [1.0], [2.0], [1.0]])


def test_points_lie_in_the_corners_and_a_circle_leaves_its_middle_free() -> None:
    rows = picture_rows(CORNERS, 40)
    assert len(rows) == 15
    assert rows[0].strip()[0] and rows[-1].strip()[0]
    assert all(not row.strip() for row in rows[3:-3])
    round_one = picture_rows(CIRCLE, 40)
    assert round_one[0].strip() and round_one[-1].strip()
    middle = round_one[7]
    assert middle.strip()[0] != " " and len(middle.split()) == 2, "its left and its right edge"


def test_steps_stand_on_the_lower_edge() -> None:
    rows = picture_rows(STEPS, 40)
    columns = [sum(row.ljust(40)[place] != " " for row in rows) for place in (5, 15, 25, 35)]
    assert columns[1] == columns[3] < columns[2] == 15
    assert columns[0] <= 1


@pytest.mark.parametrize(
    "picture", [CORNERS, CIRCLE, STEPS, Picture("points", [[3.0, 3.0]]), Picture("steps", [[0.0]])]
)
def test_every_picture_is_drawn_within_its_frame(picture: Picture) -> None:
    path = draw_picture(picture)
    assert path.startswith("M") and "nan" not in path
    assert all(len(row) <= 40 for row in picture_rows(picture, 40))
    assert SIDE > 0


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b'{"kind": "photo", "data": []}', b'{"kind": "points", "data": []}',
        b'{"kind": "points", "data": [[1.0]]}', b'{"kind": "circles", "data": [[1.0, 2.0]]}',
        b'{"kind": "steps", "data": [1e999]}', b'{"kind": "points", "data": [[1e200, 0.0]]}', b"[" * 100_000,
        b'{"kind": "circles", "data": [' + b",".join([b"[1,1,1]"] * 1366) + b"]}",
    ],
    ids=lambda raw: raw[:40].decode(),
)  # fmt: skip
def test_what_is_no_picture_is_not_drawn(raw: bytes) -> None:
    assert decode_picture(raw) is None


@pytest.mark.parametrize(
    "picture", [Picture("points", [[1e17, 1e17]]), Picture("circles", [[-1e149, 0.0, 1e-3]]), Picture("steps", [[0.0]])]
)
def test_picture_without_extent_is_drawn_wherever_it_lies(picture: Picture) -> None:
    assert picture_rows(picture, 40) and "nan" not in draw_picture(picture)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("photo", [1.0]),
        ("points", []),
        ("points", [[1.0]]),
        ("steps", [math.nan]),
        ("steps", [1e308]),
        ("steps", [0.0] * 4097),
    ],
    ids=str,
)
def test_evaluator_is_told_what_is_no_picture(kind: str, data: Any) -> None:
    report = evolve_task.Report.__new__(evolve_task.Report)
    with pytest.raises(ValueError, match="a picture"):
        report.picture(kind, data)


@pytest.mark.parametrize("name", TASKS)
def test_answers_of_open_problems_can_be_drawn(name: str) -> None:
    settings = task(name).spec.settings
    with task(name).importable() as load:
        kind, data = load("exact").drawn(construct(name, task(name).seed), settings)
    assert decode_picture(json.dumps({"kind": kind, "data": data}).encode()) is not None


def test_picture_is_kept_and_shown(make_task: TaskMaker, evolve: Evolve) -> None:
    evaluate = (
        "import evolve_task\n\n\ndef evaluate(path, report):\n"
        "    report.picture('circles', [[0.5, 0.5, 0.5]])\n"
        "    x, y = evolve_task.call('point')\n    return {'score': x + y}\n"
    )
    folder = make_task("drawn", evaluate=evaluate, guarded=True)
    done = evolve("run", folder, "--rounds", 0, "--headless", "--json", "--trust", "--name", "drawn")
    run = done.json["run"]
    assert evolve("show", run, 0, "--json").json["stages"][0]["picture"] == {"kind": "circles", "rows": [[0.5] * 3]}
    assert "--- picture" in evolve("show", run, 0).out
