"""A node's page: its differences to other nodes, its failure, what it prints and reports while it is measured."""

from __future__ import annotations

import json
import re
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.journal.clock import now_ms
from engine.journal.database import connect_writer, insert_event
from engine.journal.live import LIVE_OUTPUT, LiveRow, insert_live
from engine.programs.folders import join_files
from engine.programs.languages.registry import PYTHON
from engine.runs.folder import lock_run
from engine.state.node import NodeEvaluation
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, row_of, settled, text_of, until
from tests.tui.synthetic import HOSTILE, make_run
from tests.tui.terminal import Terminal
from tests.tui.test_terminal import open_tui
from tui.model.node_documents import TABS
from tui.model.outputs import Output, RunningCurve, take_outputs
from tui.model.program_files import compare_files
from tui.model.side_by_side import side_by_side_lines
from tui.screens.marked import MarkedScreen

__all__ = ["open_tui"]


def width_of(text: str) -> int:
    """Cells that a text takes."""
    return sum(0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


_CODE = st.lists(st.text(st.sampled_from("ab =(漢é'\"#"), max_size=60), max_size=12).map("\n".join)


@given(_CODE, _CODE, st.integers(60, 200))
def test_two_programs_stand_beside_each_other_at_any_width(before: str, after: str, width: int) -> None:
    lines = side_by_side_lines(before, after, ("#1", "#2"), width)
    assert all(sum(width_of(span.text) for span in line) <= width for line in lines)
    old, new = (text.split("\n")[: -1 if text.endswith("\n") or not text else None] for text in (before, after))
    looks = {"removed": "".join(old), "added": "".join(new)}
    for look, whole in looks.items():
        rest = iter(whole)
        # Whatever is shown as changed stands in that program, in this order.
        shown = "".join(span.text[_head(span.text) :] for line in lines for span in line if span.look == look)
        assert all(sign in rest for sign in shown)


def _head(text: str) -> int:
    """How many signs a number and a mark take at the start of a row; all of it if there is nothing else."""
    number, mark, _ = text.lstrip().partition(text.lstrip().lstrip("0123456789")[:2] or "\n")
    return len(text) if (number.isdigit() and mark in (" -", " +")) or not text.strip() else 0


def running_node(desk: Desk) -> tuple[int, NodeEvaluation]:
    """A node that is measured at the end of the journal."""
    from tests.e2e.runs import fold

    state = fold(desk.run)
    return next((node, found) for node, found in state.evaluations.items() if found.running is not None)


class Evaluator:
    """Stands for the engine of an evaluation that prints and reports."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.node, evaluation = running_node(desk)
        assert evaluation.running is not None
        self.running = evaluation.running

    def prints(self, text: str, stream: str = "stdout", **more: Any) -> None:
        """Print a text."""
        about = {"node": self.node, "stage": self.running.stage, "repeat": self.running.repeat}
        connection = connect_writer(self.desk.run.db)
        row = {**about, "stream": stream, "text": text, "left_out": 0, **more}
        insert_live(connection, [(now_ms(), LIVE_OUTPUT, 1, json.dumps(row))])
        connection.close()

    def reports(self, step: float, **values: float) -> None:
        """Report values."""
        self.event(ev.EvalProgress(self.running.stage, step, values, self.running.repeat))

    def event(self, data: ev.Data) -> None:
        """Write an event about the node."""
        connection = connect_writer(self.desk.run.db)
        self.desk.seq += 1
        connection.execute("BEGIN IMMEDIATE")
        insert_event(connection, ev.Event(self.desk.seq, now_ms(), 1, self.node, data))
        connection.execute("COMMIT")
        connection.close()


def test_programs_of_equal_lines_are_compared_in_linear_time() -> None:
    """A candidate that repeats one line thousands of times must not occupy a processor for minutes."""

    def calls(lines: int) -> int:
        before, after = "x = 1\n" * lines + "z = 1\n", "y = 0\n" + "x = 1\n" * lines
        counted = [0]

        def count(frame: object, event: str, argument: object) -> None:
            counted[0] += 1

        sys.setprofile(count)
        try:
            side_by_side_lines(before, after, ("#1", "#2"), 160, "")
            compare_files(_folder(before), _folder(after))
        finally:
            sys.setprofile(None)
        return counted[0]

    assert calls(800) < 3 * calls(400)


def _folder(code: str) -> str:
    return join_files({"main.py": code}, PYTHON)


async def test_running_evaluation_is_followed(live_run: Desk, make_app: Maker) -> None:
    evaluator = Evaluator(live_run)
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("slash", *f"#{evaluator.node}", "enter", "enter", "4")
        await until(pilot, lambda: "nothing was printed yet" in text_of(app), "the page")
        evaluator.prints(f"epoch 1 {HOSTILE.replace(chr(0xD83D), '')}\n")
        await until(pilot, lambda: "epoch 1 ␛[2J" in text_of(app), "what was printed")
        evaluator.prints("a warning\n", "stderr", left_out=1234)
        await until(pilot, lambda: "a warning" in text_of(app), "what was printed as an error")
        assert "1,234 bytes left out" in text_of(app) and "── stderr, as it is printed" in text_of(app)
        evaluator.prints("".join(f"step {step}\n" for step in range(100)), "stderr")
        await until(pilot, lambda: "step 99" in text_of(app), "the end of it")
        height = app.screen._text.size.height
        shown = re.search(r"(\d+)–(\d+)/(\d+)", text_of(app))
        assert shown is not None and int(shown[2]) == int(shown[3]) > height
        await pilot.press("home")
        await until(pilot, lambda: f"1–{height}/{shown[3]}" in text_of(app), "the lines that are visible now")
        evaluator.prints("later\n", "stderr")
        await until(pilot, lambda: "later" in _whole(app), "more of it")
        assert "later" not in text_of(app), "who reads the start is not sent to the end"
        await pilot.press("3")
        await until(pilot, lambda: "running  since" in text_of(app), "the metrics")
        for step in range(5):
            evaluator.reports(float(step), loss=1.0 / (step + 1))
        await until(pilot, lambda: "step 4  loss = 0.2" in text_of(app), "the values that were reported last")
        await until(pilot, lambda: "loss  " in text_of(app) and "points" in text_of(app), "their curve")
        evaluator.event(ev.EvalStageDone(evaluator.running.stage, "ok", score=1.0, repeat=evaluator.running.repeat))
        await until(pilot, lambda: "running  since" not in text_of(app), "the end")
        assert app.session is not None and app.session.model is not None
        assert evaluator.node not in app.session.model.outputs


def _whole(app: Any) -> str:
    return "\n".join("".join(span.text for span in line) for line in app.screen._text.lines)


async def test_failed_node_opens_at_its_reason(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        live = await opened(pilot)
        model = live.session.model
        assert model is not None
        failed = next(node for node in model.state.nodes if node.status in ("crashed", "timeout", "invalid"))
        await pilot.press("slash", *f"#{failed.id}", "enter", "enter")
        await until(pilot, lambda: "ZeroDivisionError" in text_of(app), "the reason")
        node: Any = app.screen
        assert TABS[node._tab] == "Logs" and "Traceback" in text_of(app)
        await pilot.press("u")
        assert TABS[node._tab] == "Logs", "another node is shown on the same tab"
        await pilot.press("escape", "home", "enter")
        node = app.screen
        assert TABS[node._tab] == "Code", "a node that did not fail opens at its code"


async def test_difference_turns_through_parent_best_seed_and_marked_nodes(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(160, 40)) as pilot:
        live = await opened(pilot)
        model = live.session.model
        assert model is not None
        best = model.state.best
        node = next(
            node.id
            for node in model.state.nodes
            if node.parents and node.parents[0] not in (0, best) and node.id not in (best, 5)
        )
        live.session.mark(5)
        await pilot.press("slash", *f"#{node}", "enter", "enter", "2")
        await until(pilot, lambda: "@@ -" in text_of(app), "the diff")
        assert "│" in text_of(app) and "--- #" not in text_of(app), "two programs beside each other"
        for base in (best, 0, 5):
            await pilot.press("D")
            await until(pilot, lambda base=base: f"compared with #{base}" in text_of(app), f"#{base}")
        await pilot.press("D")
        await until(pilot, lambda: "  compared with #" not in text_of(app).splitlines()[1], "the parent")
        await pilot.press("d", *"best", "enter", "v")
        await until(pilot, lambda: f"--- #{best} " in text_of(app), "one text of changes")
        await pilot.resize_terminal(100, 30)
        await pilot.press("v")
        await until(pilot, lambda: "--- #" not in text_of(app), "beside each other, though it is narrow")


async def test_marked_nodes_are_compared_in_metrics_and_code(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        model = live.session.model
        assert model is not None
        await pilot.press("M")
        assert "two to 6 marked nodes are compared" in text_of(app)
        best = model.state.best
        await pilot.press("home", "m", "b", "m")
        assert "#0◆" in text_of(app) and f"#{best}◆" in text_of(app)
        assert f"marked: #0, #{best}; M compares them" in text_of(app)
        await pilot.press("V")
        assert f"#{best}◆" in text_of(app), "the table keeps the marks"
        await pilot.press("M")
        assert isinstance(app.screen, MarkedScreen)
        await until(pilot, lambda: "overlap" in text_of(app), "the metrics")
        text = text_of(app)
        seed, other = (model.state.nodes[node] for node in (0, best or 0))
        assert seed.score is not None and other.score is not None
        row = next(line for line in text.splitlines() if line.strip().startswith("sum_radii"))
        assert row.split() == [
            "sum_radii",
            f"{seed.score:.6g}",
            f"{other.score:.6g}",
            f"{other.score - seed.score:+.4g}",
        ]
        await pilot.press("end")
        assert "+STEPS" in text_of(app) and "-STEPS" in text_of(app)
        await pilot.press("u")
        await until(pilot, lambda: f"#{best} " in text_of(app), "the table again")
        assert live.session.marked == []


async def test_acts_on_the_page_and_comments_in_the_tree(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        live = await opened(pilot)
        await pilot.press("down")
        chosen = live.view.chosen
        assert chosen is not None
        await pilot.press("enter", "asterisk")
        await until(pilot, lambda: live_run.commands() == [("star", {"node": chosen.id, "starred": True})], "the star")
        live_run.answer(ev.NodeStarred(), node=chosen.id)
        await until(pilot, lambda: f" * #{chosen.id} " in text_of(app), "the star on its page")
        await pilot.press("c", *"look here", "enter")
        await until(pilot, lambda: live_run.commands() == [("comment", {"node": chosen.id, "text": "look here"})], "it")
        live_run.answer(ev.NodeCommented("look here"), node=chosen.id)
        await pilot.press("5")
        await until(pilot, lambda: "look here" in text_of(app), "the comment on its page")
        await pilot.press("escape")
        await settled(pilot)
        assert '*" ' in row_of(app, chosen.id)
        await pilot.press("ampersand", *"is:commented", "enter")
        assert live.view.tree_view.rows == [chosen.id]


def test_output_of_other_evaluations_is_passed_over() -> None:
    running = ev.EvalStarted("explore", repeat=1)
    evaluations = {3: NodeEvaluation(running=running, started_at=100), 4: NodeEvaluation()}

    def row(at: int = 200, **data: Any) -> LiveRow:
        whole = {"node": 3, "stage": "explore", "repeat": 1, "stream": "stdout", "text": "x", "left_out": 0, **data}
        return LiveRow(1, at, LIVE_OUTPUT, 1, whole)

    outputs: dict[int, Output] = {}
    others = [row(node=4), row(node=9), row(stage="quick"), row(repeat=0), row(at=99), row(stream="x"), row(text=1)]
    assert not take_outputs(outputs, others, evaluations) and not outputs
    assert take_outputs(outputs, [row(text="a" * 63_999), row(text="bc")], evaluations)
    assert outputs[3].streams == {"stdout": "a" * 63_998 + "bc"}


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(1, 5))
def test_curve_read_in_parts_is_the_curve_read_at_once(reports: list[tuple[int, bool]], part: int) -> None:
    events = [
        ev.Event(seq, seq * 10, 1, node, ev.EvalProgress("explore", float(seq), {"y": 1.0}, repeat=int(repeated)))
        for seq, (node, repeated) in enumerate(reports, 1)
    ]
    whole, parts = RunningCurve(), RunningCurve()
    whole.follow(2, "explore", 1, 30)
    whole.extend(events)
    for start in range(0, len(events), part):
        known = parts.follow(2, "explore", 1, 30)
        parts.extend(event for event in events[: start + part] if event.seq > known)
    wanted = [float(seq) for seq, (node, repeated) in enumerate(reports, 1) if node == 2 and repeated and seq >= 3]
    assert [step for step, _ in whole.points(99)] == wanted == [step for step, _ in parts.points(99)]
    parts.follow(2, "explore", 0, 30)
    assert parts.points(99) == ()


def test_long_curve_keeps_its_newest_point() -> None:
    curve = RunningCurve()
    curve.follow(0, "explore", 0, 0)
    for seq in range(1, 10_001):
        curve.extend([ev.Event(seq, seq, 1, 0, ev.EvalProgress("explore", float(seq), {}))])
    points = curve.points(1 << 62)
    assert len(points) <= 2000 and points[-1][0] == 10_000.0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_printing_evaluation_costs_few_bytes(runs: Path, open_tui: Any) -> None:
    """Forty lines a second for six seconds on the page of logs: within the budget of a live screen."""
    run = make_run(runs / "prints", 60)
    with lock_run(run):
        evaluator = Evaluator(Desk(run))
        terminal: Terminal = open_tui("prints")
        terminal.read_until("row 1 of 60")
        terminal.send("/")
        terminal.read_until("Search:")
        terminal.send(f"#{evaluator.node}\r")
        terminal.read_until(lambda text: "Search:" not in text)
        terminal.send("\r")
        terminal.read_until("1 Code")
        terminal.send("4")
        terminal.read_until("nothing was printed yet")
        terminal.read_until_quiet(1.0)
        counts = []
        for second in range(6):
            evaluator.prints("".join(f"epoch {second}: line {line} of a log that is written\n" for line in range(40)))
            end = time.monotonic() + 1.0
            count = 0
            while (left := end - time.monotonic()) > 0:
                count += terminal.read(left)
            counts.append(count)
        terminal.read_until("epoch 5: line 39")
        assert max(counts) <= 20_000 and sum(counts) / len(counts) <= 4_096, counts
