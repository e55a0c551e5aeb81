"""What models write is seen as it comes, harmless, at a bounded rate, and gone when the answer is whole."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.journal.clock import now_ms
from engine.journal.database import connect_writer, insert_event
from engine.journal.live import LiveRow, insert_live
from engine.journal.reader import JournalReader
from engine.runs.calls import CallEntry, calls_of_run
from engine.runs.folder import lock_run
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.synthetic import HOSTILE, make_run
from tests.tui.terminal import Terminal
from tests.tui.test_terminal import open_tui
from tui.model.streams import Stream, amount, open_streams, rate, reading, take_rows

__all__ = ["open_tui"]

Open = Callable[..., Terminal]


class Writer:
    """Stands for the engine of a run with models: calls, and pieces of what they answer."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.round = 0
        with_open = connect_writer(desk.run.db)
        row = with_open.execute(
            "SELECT max(round) FROM events WHERE kind = 'learn.done' AND round NOT IN "
            "(SELECT round FROM events WHERE kind IN ('design.done', 'round.ended') AND round IS NOT NULL)"
        ).fetchone()
        with_open.close()
        self.round = row[0]

    def event(self, data: ev.Data) -> None:
        """Write an event of the round that is being designed."""
        connection = connect_writer(self.desk.run.db)
        self.desk.seq += 1
        connection.execute("BEGIN IMMEDIATE")
        insert_event(connection, ev.Event(self.desk.seq, now_ms(), self.round, None, data))
        connection.execute("COMMIT")
        connection.close()

    def piece(self, call: int, text: str, **more: Any) -> None:
        """Write a piece of an answer."""
        data = {"call": call, "role": "researcher", "round": self.round, "model": "fast", "text": text, **more}
        connection = connect_writer(self.desk.run.db)
        insert_live(connection, [(now_ms(), "stream", self.round, json.dumps(data))])
        connection.close()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_design_is_shown_as_it_is_written(live_run: Desk, make_app: Maker, size: tuple[int, int]) -> None:
    writer = Writer(live_run)
    writer.event(ev.CallStarted(1, "researcher", "fast", "0" * 64))
    writer.piece(1, "def construct_")
    app = make_app(live_run.run)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        panels = [] if size[0] >= 100 else ["v"]
        await pilot.press(*panels)
        await until(pilot, lambda: "~3 tok" in text_of(app), "how much was written before")
        assert "researcher f" in text_of(app)
        await pilot.press(*(["v"] * 3 if panels else []))
        writer.piece(1, f"packing():\n{HOSTILE.replace(chr(0xD83D), '')}\n    return 1\n")
        await until(pilot, lambda: "def construct_packing():" in text_of(app), "the design")
        assert "    return 1" in text_of(app)
        assert not {"\x1b", "\x9b", "\u202e", "\u200b"} & set(text_of(app))
        await pilot.press("W")
        await until(pilot, lambda: "    return 1" in text_of(app) and "esc Back" in text_of(app), "the whole of it")
        writer.piece(1, "", again=True)
        writer.piece(1, "anew", thought=True)
        await until(pilot, lambda: "anew" in text_of(app) and "thinks" in text_of(app), "another try")
        assert "return 1" not in text_of(app)
        writer.event(ev.CallDone(1, "researcher", "fast"))
        await until(pilot, lambda: "call 1 is over" in text_of(app) and "anew" in text_of(app), "the end")
        await pilot.press("escape")
        await until(pilot, lambda: "no model at this moment" in text_of(app), "the panel, still there")
        writer.event(ev.RunPaused(reason="no model answers: fast: gone fishing"))
        await until(pilot, lambda: "fast: gone fishing" in text_of(app), "why no model answers")
        await pilot.press("W")
        await until(pilot, lambda: "waits for a model" in text_of(app), "what the run waits for")
        assert "fast: gone fishing" in text_of(app) and "asked again by themselves" in text_of(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_model_that_reads_and_what_came_to_nothing_are_shown(
    live_run: Desk, make_app: Maker, size: tuple[int, int]
) -> None:
    writer = Writer(live_run)
    asked = ev.CallStarted(
        1, "researcher", "qwen", "", {"first_token_seconds": 120.0}, "design/0", tokens=4_193, patience=120.0, cap=5_000
    )
    writer.event(asked)
    app = make_app(live_run.run)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("W")
        told = "limit 120 s (models.qwen.first_token_seconds)"
        await until(pilot, lambda: "reading a prompt of 4,193 tokens, " in text_of(app), "what it reads")
        assert told in " ".join(text_of(app).split()) and "may have 5,000 tokens" in text_of(app)
        writer.event(ev.CallRetried(1, 1, "researcher", "qwen", "down", f"silent, {told}", "first_token_seconds"))
        writer.piece(1, "", again=True)
        writer.piece(1, "", wait=60_000, tries=3, why="the endpoint answered 503", **{"try": 2})
        await until(pilot, lambda: "the endpoint answered 503" in text_of(app), "what it waits for")
        assert re.search(r"try 2 of 3 in \d+ s: the endpoint", text_of(app)) and "waits  fast" in text_of(app)
        writer.piece(1, "I will not", tokens=3)
        await until(pilot, lambda: "~3 tok" in text_of(app), "the second try")
        writer.event(
            ev.CallDone(
                1, "researcher", "qwen", tokens_in=4_193, tokens_out=812, seconds=107.0, retries=1, key="design/0"
            )
        )
        writer.event(ev.DesignRejected(0, "answer", "it holds no program", call=1, tokens=5_005, seconds=107.0))
        await pilot.press("enter")
        await until(pilot, lambda: "no design: answer" in text_of(app), "the list of calls")
        assert "4,193+812" in text_of(app) and "1 came to nothing" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: "it holds no program" in text_of(app) and "try 1 failed" in text_of(app), "the call")
        await pilot.press("escape", "escape", "escape")
        await until(pilot, lambda: ("!2" if size[0] < 97 else "2 in vain") in text_of(app), "how often in the bar")
        await pilot.press(*(["v", "v"] if size[0] < 100 else []))
        await until(pilot, lambda: "design refused, 107 s" in text_of(app), "the note")
        assert "1 timed out, 1 refused" in text_of(app)


async def test_slow_reading_of_calls_does_not_replace_a_later_one(
    live_run: Desk, make_app: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(live_run)
    writer.event(ev.CallStarted(1, "researcher", "fast", "0" * 64))
    first, readings = threading.Event(), itertools.count()

    def slow_at_first(reader: JournalReader, seq: int) -> list[CallEntry]:
        calls = calls_of_run(reader, seq)
        if next(readings) == 0:
            first.wait(60)
        return calls

    monkeypatch.setattr("tui.screens.calls.calls_of_run", slow_at_first)
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("W", "enter")
        await until(pilot, lambda: "Calls 1," in text_of(app), "a reading that was not slow")
        writer.event(ev.CallDone(1, "researcher", "fast", tokens_in=4_193, tokens_out=812))
        await until(pilot, lambda: "4,193+812" in text_of(app), "the end of the call")
        first.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "4,193+812" in text_of(app)


async def test_command_that_tells_no_cost_is_not_shown_as_free(live_run: Desk, make_app: Maker) -> None:
    writer = Writer(live_run)
    for call, spent in ((1, {"priced": False}), (2, {"priced": False, "tokens_in": 1_200})):
        writer.event(ev.CallStarted(call, "researcher", "agent", "0" * 64, command=["agent"]))
        writer.event(ev.CallDone(call, "researcher", "agent", seconds=9.0, **spent))
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("W", "enter")
        await until(pilot, lambda: "Calls 2," in text_of(app), "the list of calls")
        assert re.search(r" 1 r\d+ +researcher +\? +9 s", text_of(app)) and "1,200+0" in text_of(app)
        assert " 0+0" not in text_of(app)


async def test_two_texts_are_shown_at_once(live_run: Desk, make_app: Maker) -> None:
    writer = Writer(live_run)
    for call in (1, 2):
        writer.event(ev.CallStarted(call, "researcher", "fast", "0" * 64))
        writer.piece(call, f"answer {call}")
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "answer 1" in text_of(app) and "1 of 2" in text_of(app), "the first")
        await pilot.press("W", "tab")
        await until(pilot, lambda: "answer 2" in text_of(app), "the other")
        writer.piece(9, "nobody asked")
        writer.event(ev.CallDone(2, "researcher", "fast"))
        await until(pilot, lambda: "answer 1" in text_of(app), "what is left")


def test_writing_stays_in_the_byte_budget_and_idle_writes_none(runs: Path, open_tui: Open) -> None:
    run = make_run(runs / "alpha", 60)
    with lock_run(run):
        writer = Writer(Desk(run))
        for call in range(1, 5):
            writer.event(ev.CallStarted(call, "researcher", "fast", "0" * 64))
            writer.piece(call, "begun\n")
        terminal = open_tui("alpha")
        terminal.read_until("begun")
        done = threading.Event()

        def write() -> None:
            for index in range(60):
                for call in range(1, 5):
                    writer.piece(call, f"    value_{index} = relax(centers, radii, {index / 60:.4f})  # {call}\n")
                time.sleep(0.1)
            done.set()

        thread = threading.Thread(target=write)
        thread.start()
        terminal.read(2)
        before, begun = terminal.total, time.monotonic()
        while not done.is_set():
            terminal.read(0.5)
        mean = (terminal.total - before) / (time.monotonic() - begun)
        assert 0 < mean < 4096, f"{mean:.0f} B/s"
        thread.join()
        writer.event(ev.RunPaused())
        terminal.read_until("‖ paused")
        terminal.read_until_quiet(2.2)


rows = st.lists(
    st.tuples(st.integers(1, 3), st.text(max_size=30), st.booleans(), st.booleans()), max_size=30
)  # fmt: skip


@given(pieces=rows, height=st.integers(1, 8))
def test_end_of_any_text_is_shown(pieces: list[tuple[int, str, bool, bool]], height: int) -> None:
    streams: dict[int, Stream] = {}
    for index, (call, text, thought, again) in enumerate(pieces):
        data = {"call": call, "text": "" if again else text, "thought": thought, "again": again}
        take_rows(streams, [LiveRow(index, index, "stream", 1, data)], (1, 2))
    assert set(streams) <= {1, 2}
    for stream in streams.values():
        shown = stream.shown(height)
        assert 1 <= len(shown) <= height
        assert len(shown) >= min(height // 2, stream.text.count("\n") + 1)


def test_long_answer_is_kept_in_part() -> None:
    streams: dict[int, Stream] = {}
    for index in range(200):
        data = {"call": 1, "text": f"line {index}\n" + "x" * 1000 + "\n"}
        take_rows(streams, [LiveRow(index, index * 100, "stream", 1, data)], (1,))
    stream = streams[1]
    assert len(stream.text) == 64_000 and stream.chars > 200_000
    assert stream.lines + stream.text.count("\n") == 400 and stream.shown(4)[-1] in ("", "x" * 1000)


def test_damaged_row_is_skipped() -> None:
    streams: dict[int, Stream] = {}
    data: list[dict[str, Any]] = [{}, {"call": "1", "text": "a"}, {"call": 1}, {"call": 1, "text": 3}]
    assert not take_rows(streams, [LiveRow(1, 1, "stream", None, item) for item in data], (1,))
    assert not streams


def test_command_is_said_to_work_and_its_output_is_counted_in_characters() -> None:
    call = ev.CallStarted(3, "researcher", "command:agent", command=["agent"], parameters={"seconds": 600.0})
    event = ev.Event(9, 1_000, 4, None, call)
    stream = open_streams({3: event}, {})[3]
    told = "works in its folder, and has printed nothing yet, 5 s, limit 600 s (command.seconds)"
    assert reading(event, stream, 6_000) == told
    streams: dict[int, Stream] = {}
    rows = [LiveRow(1, 2_000, "stream", 4, {"call": 3, "role": "researcher", "text": "x" * 1200, "command": True})]
    assert take_rows(streams, rows, [3])
    assert (amount(streams[3]), rate(streams[3])) == ("1,200 characters", "")
