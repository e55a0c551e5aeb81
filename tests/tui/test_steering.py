"""Act on a run from its screens: what is asked of the engine, and that it is shown only when done."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandList, CommandPalette
from textual.widgets import Input, Static

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from tests.tui.conftest import Desk
from tests.tui.pilot import SIZES, Maker, hint_of, opened, row_of, text_of, until
from tests.tui.synthetic import make_run
from tui.feed.live import LiveFeed
from tui.screens.dialogs import Confirm, Prompt
from tui.screens.live import LiveScreen
from tui.textual_app import EvolveApp
from tui.widgets.bars import Footer


@pytest.mark.parametrize("size", SIZES)
async def test_pause_is_shown_once_the_event_arrives(live_run: Desk, make_app: Maker, size: tuple[int, int]) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("p")
        await until(pilot, live_run.commands, "the command")
        assert live_run.commands() == [("pause", {})]
        await until(pilot, lambda: "pausing…" in text_of(app), "'pausing…'")
        assert "paused" not in text_of(app)
        live_run.answer(ev.RunPaused(), result="paused; 2 evaluations finish first")
        await until(pilot, lambda: "‖ paused" in text_of(app), "the pause")
        assert "pausing…" not in text_of(app)
        assert "2 evaluations finish first" in text_of(app)
        await pilot.press("p")
        await until(pilot, lambda: live_run.commands() == [("resume", {})], "the resume")


async def test_refusal_is_shown(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("r")
        assert isinstance(app.screen, Confirm) and live_run.commands() == []
        await pilot.press("y")
        await until(pilot, live_run.commands, "the command")
        assert live_run.commands() == [("rerun", {"node": 0})]
        live_run.answer(ok=False, result="it is being measured already")
        await until(pilot, lambda: "rerun refused: it is being measured already" in text_of(app), "the refusal")


async def test_marks_come_from_the_journal(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("down", "exclamation_mark")
        await until(pilot, live_run.commands, "the command")
        ((kind, data),) = live_run.commands()
        assert kind == "pin"
        live_run.answer(ev.NodePinned(), node=data["node"])
        await until(pilot, lambda: f"! {_score(app, data['node'])}" in row_of(app, data["node"]), "the mark")
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: live_run.commands() == [("unpin", {"node": data["node"]})], "the command")


def _score(app: EvolveApp, node: int) -> str:
    from tui.model.labels import outcome

    assert app.session is not None and app.session.model is not None
    return f"{outcome(app.session.model, app.session.model.state.nodes[node]):>9}"


async def test_escape_and_a_letter_as_one_key_are_ignored(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("alt+i", "alt+r", "alt+x", "alt+p", "alt+q")
        assert isinstance(app.screen, LiveScreen)
        await pilot.press("i", "a", "alt+b", "c")
        assert app.screen.query_one(Input).value == "ac"
        await pilot.press("escape")
        await pilot.pause(0.2)
        assert live_run.commands() == []


async def test_keys_on_nodes_wait_for_the_first_paint(live_run: Desk, make_app: Maker, monkeypatch: Any) -> None:
    gate = threading.Event()
    original = LiveFeed._open
    monkeypatch.setattr(LiveFeed, "_open", lambda self: (gate.wait(90), original(self))[1])
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        for key in ("b", "asterisk", "c", "X", "r", "e", "enter", "end"):
            await pilot.press(key)
            assert isinstance(app.screen, LiveScreen), key
            assert "reading the run…" in text_of(app).splitlines()[-1], key
            app.screen.query_one(Footer).hush()
        gate.set()
        await opened(pilot)
        assert "reading the run…" not in text_of(app)
        assert live_run.commands() == []
        await pilot.press("b", "c")
        assert isinstance(app.screen, Prompt) and app.screen._question.startswith(f"Comment on #{_best(app)} ")


def _best(app: EvolveApp) -> int | None:
    assert app.session is not None and app.session.model is not None
    return app.session.model.state.best


async def test_hint_stop_and_comment_become_commands(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("i", *"[b]hex", "enter")
        await until(pilot, live_run.commands, "the hint")
        assert live_run.commands() == [("inject", {"what": "hint", "text": "[b]hex"})]
        live_run.answer(ev.Injected("hint", text="[b]hex"))
        await pilot.press("S")
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await pilot.press("c", *"ok", "enter")
        await until(pilot, lambda: ("comment", {"node": 0, "text": "ok"}) in live_run.commands(), "the comment")
        assert "stop" not in [kind for kind, _ in live_run.commands()]


async def test_empty_prompt_sends_no_command(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("i", "enter")
        await pilot.press("i", "x", "escape")
        await pilot.pause(0.2)
        assert live_run.commands() == []


async def test_dead_run_gets_no_command_that_needs_an_engine(runs: Path, make_app: Maker) -> None:
    run = make_run(runs / "dead", 20)
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "✗ dead" in text_of(app) and "Resume" in text_of(app) and "Pause" not in text_of(app)
        await pilot.press("s", "i", "x", "S")
        await pilot.pause(0.1)
        assert Desk(run).commands() == []


async def test_typing_replaces_the_value_of_a_prompt(runs: Path, make_app: Maker) -> None:
    app = make_app(make_run(runs / "done", 10, rounds=10, end="finished"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for keys, value in (("14", "14"), (("end", "1"), "601"), (("left", "1"), "160")):
            await pilot.press("p", *keys)
            assert app.screen.query_one(Input).value == value
            await pilot.press("escape")
        await pilot.press("p", *"x", "enter")
        await until(
            pilot, lambda: "is not a number" in str(app.screen.query_one("#hint", Static).render()), "the refusal"
        )
        assert isinstance(app.screen, Prompt)


async def test_unreadable_path_keeps_its_prompt(
    live_run: Desk, make_app: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("def construct_packing(): ...\n")
    (tmp_path / "latin.py").write_bytes(b"# \xe4\n")
    monkeypatch.chdir(tmp_path)
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        await pilot.press("I")
        for typed, told in (
            ("mime.py", "mime.py cannot be read: No such file"),
            ("latin.py", "latin.py is not UTF-8"),
            ("~nobody-of-that-name/x", "is not a path"),
            (" ", "the line is blank"),
            ("x" * 3000, "cannot be read"),
        ):
            app.screen.query_one(Input).value = typed
            await pilot.press("enter")
            await until(pilot, lambda told=told: told in hint_of(app), told)  # type: ignore[misc]
            assert isinstance(app.screen, Prompt)
        app.screen.query_one(Input).value = "mine.py"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is live and live_run.commands(), "the command")
        ((kind, data),) = live_run.commands()
        assert kind == "inject" and data["name"] == "mine"
        await pilot.press("w")
        app.screen.query_one(Input).value = "mine.py"
        await pilot.press("enter")
        await until(pilot, lambda: "mine.py exists already" in hint_of(app), "the refusal")
        app.screen.query_one(Input).value = "other.py"
        await pilot.press("enter")
        await until(pilot, (tmp_path / "other.py").exists, "the file")
        await until(pilot, lambda: app.screen is live, "the screen")


async def test_edited_program_is_injected(live_run: Desk, make_app: Maker, monkeypatch: Any) -> None:
    monkeypatch.setattr("tui.screens.programs.edit_text", lambda app, guard, text, name: text + "# by hand\n")
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, live_run.commands, "the command")
        ((kind, data),) = live_run.commands()
        assert kind == "inject" and data["what"] == "program" and data["code"].endswith("# by hand\n")
        assert data["parent"] == 0


async def test_copy_reports_only_what_is_certain_and_save_never_overwrites(
    live_run: Desk, make_app: Maker, workspace: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.chdir(tmp_path)
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "sent to the terminal's clipboard" in text_of(app), "the word")
        kept = (workspace / "cache" / "clipboard.txt").read_text()
        with JournalReader(live_run.run.db) as reader:
            model = app.session.model  # type: ignore[union-attr]
            assert model is not None and kept == reader.text(model.state.nodes[0].program)
        await pilot.press("w", "enter")
        await until(pilot, (tmp_path / "alpha-0.py").exists, "the file")
        assert (tmp_path / "alpha-0.py").read_text() == kept
        await pilot.press("w", "enter")
        await until(pilot, lambda: "exists already" in hint_of(app), "the refusal")


async def test_palette_runs_an_action(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette), "the palette")
        await pilot.press(*"pause run")

        def offered() -> bool:
            found = app.screen.query_one(CommandList)
            return (
                found.highlighted is not None
                and "pause" in str(found.get_option_at_index(found.highlighted).prompt).lower()
            )

        await until(pilot, offered, "the action")
        await pilot.press("enter")
        await until(pilot, lambda: live_run.commands() == [("pause", {})], "the command")
