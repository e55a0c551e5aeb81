"""The screens without a terminal: what is shown, what is asked of the engine, and that it is shown only when done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Static

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.runs.folder import Run
from tests.tui.conftest import Desk
from tests.tui.synthetic import make_run
from tui.feed.live import LiveFeed
from tui.screens.dialogs import Confirm, Prompt
from tui.screens.live import LiveScreen
from tui.screens.node import NodeScreen
from tui.screens.reading import HelpScreen
from tui.screens.replay import ReplayScreen
from tui.screens.runs import RunsScreen
from tui.textual_app import EvolveApp
from tui.widgets.bars import Footer
from tui.widgets.painted import Painted, Throttle

Maker = Callable[..., EvolveApp]
SIZES = [(80, 24), (120, 40)]


def text_of(app: EvolveApp) -> str:
    """Everything that the screen's painted widgets show."""
    lines = []
    for widget in app.screen.query(Painted):
        if widget.display and widget.size.height:
            lines += [widget.row_strip(y).text.rstrip() for y in range(widget.size.height)]
    return "\n".join(lines)


async def until(pilot: Pilot[Any], condition: Callable[[], object], what: str) -> None:
    """Let the application work until something holds."""
    for _ in range(400):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError(f"waited for {what}\n{text_of(pilot.app)}")  # type: ignore[arg-type]


async def settled(pilot: Pilot[Any]) -> None:
    """Let the screen paint all that it has put off."""
    parts = [pilot.app.screen, *pilot.app.screen.query("*")]
    put_off = [value for part in parts for value in vars(part).values() if isinstance(value, Throttle)]
    await until(pilot, lambda: not any(throttle._timer for throttle in put_off), "the last painting")
    await pilot.pause()


async def opened(pilot: Pilot[Any]) -> LiveScreen | ReplayScreen:
    """The screen of a run once the run is read."""
    app: Any = pilot.app
    await until(pilot, lambda: app.session is not None and app.session.model is not None, "the run to be read")
    await pilot.pause()
    assert isinstance(app.screen, LiveScreen | ReplayScreen)
    await until(pilot, lambda: app.screen.view.ready, "the first paint")
    return app.screen


@pytest.mark.parametrize("size", SIZES)
async def test_live_shows_the_run(live_run: Desk, make_app: Maker, size: tuple[int, int]) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        text = text_of(app)
        pieces = (
            "alpha",
            "● running",
            "best 1.",
            "guarded",
            "#0 seed",
            "Population  row 1 of 60",
            "sum_radii",
            "? Help",
        )
        for piece in pieces:
            assert piece in text, piece
        assert ("Workers" in text) == (size[0] >= 100)


@pytest.mark.parametrize("size", SIZES)
async def test_pause_is_shown_when_the_event_comes(live_run: Desk, make_app: Maker, size: tuple[int, int]) -> None:
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


async def test_what_is_cut_says_so(runs: Path, make_app: Maker) -> None:
    name = "circle_packing-with-a-name-20261122-0500"
    app = make_app(make_run(runs / name, 40, hostile=True, end="finished"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        lines = text_of(app).splitlines()
        assert "…122-0500 ■ finished" in lines[0] or "2-0500 ■ finished" in lines[0]
        assert _row(app, 1).endswith("…") and len(_row(app, 1)) <= 80


async def test_a_refusal_is_told(live_run: Desk, make_app: Maker) -> None:
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
        await until(pilot, lambda: f"! {_score(app, data['node'])}" in _row(app, data["node"]), "the mark")
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: live_run.commands() == [("unpin", {"node": data["node"]})], "the command")


def _score(app: EvolveApp, node: int) -> str:
    from tui.model.labels import outcome

    assert app.session is not None and app.session.model is not None
    return f"{outcome(app.session.model, app.session.model.state.nodes[node]):>9}"


def _row(app: EvolveApp, node: int) -> str:
    return next((line for line in text_of(app).splitlines() if f"#{node} " in line), "")


async def test_escape_and_a_letter_as_one_key_do_nothing(live_run: Desk, make_app: Maker) -> None:
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


async def test_no_node_is_acted_on_before_it_is_seen(live_run: Desk, make_app: Maker, monkeypatch: Any) -> None:
    gate = threading.Event()
    original = LiveFeed._open
    monkeypatch.setattr(LiveFeed, "_open", lambda self: (gate.wait(20), original(self))[1])
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


async def test_hint_stop_and_comment_are_asked_for(live_run: Desk, make_app: Maker) -> None:
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


async def test_an_empty_prompt_asks_nothing(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("i", "enter")
        await pilot.press("i", "x", "escape")
        await pilot.pause(0.2)
        assert live_run.commands() == []


async def test_no_command_for_a_run_without_an_engine(runs: Path, make_app: Maker) -> None:
    run = make_run(runs / "dead", 20)
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "✗ dead" in text_of(app) and "Resume" in text_of(app) and "Pause" not in text_of(app)
        await pilot.press("s", "i", "x", "S")
        await pilot.pause(0.1)
        assert Desk(run).commands() == []


async def test_a_node_tab_by_tab(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "construct_packing" in text_of(app), "the code")
        assert isinstance(app.screen, NodeScreen)
        pieces = (
            "import math",
            "@@",
            "sum_radii",
            "packed 26",
            "why it was made",
            "inspirations",
            "no model was asked",
        )
        for key, piece in zip("1234567", pieces, strict=True):
            await pilot.press(key)
            await until(pilot, lambda piece=piece: piece in text_of(app), piece)
        await pilot.press("full_stop")
        node = app.screen.node
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), "the live screen")
        live: Any = app.screen
        assert live.view.chosen.id == node.id if node else False, "the cursor is on the node that was looked at last"


async def test_a_walk_through_a_lineage_and_a_diff_to_any_node(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        live = await opened(pilot)
        model = live.session.model
        assert model is not None
        await pilot.press("down", "enter")
        node: Any = app.screen
        await pilot.press("b")
        assert node.node.id == model.state.best
        path = model.population.lineage(model.state.best)
        for above in path[1:]:
            await pilot.press("u")
            assert node.node.id == above
        for below in reversed(path[:-1]):
            await pilot.press("o")
            assert node.node.id == below
        await pilot.press("d", *"#999", "enter")
        await until(pilot, lambda: "there is no node 999" in str(app.screen.query("#hint").first().render()), "why not")
        await pilot.press("escape", "d", *"#0", "enter")
        await until(pilot, lambda: "--- #0 seed" in text_of(app), "the diff to the seed")
        assert "compared with #0" in text_of(app)
        await pilot.press("d", "enter")
        await until(pilot, lambda: f"--- #{path[1]} " in text_of(app), "the diff to the parent")


async def test_the_view_stays_where_it_is_read(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        live = await opened(pilot)
        await pilot.press("end")
        tree = live.view.tree_view
        before = [tree.row_strip(y).text for y in range(tree.size.height)]
        model = app.session.model  # type: ignore[union-attr]
        assert model is not None
        from tui.feed.batch import Batch

        node = len(model.state.nodes)
        made = ev.DesignDone("0" * 64, "tune", "new", "why", parents=[0], digest="d")
        app.session.take(Batch(live_run.run, True, (ev.Event(10**6, model.state.at, 99, node, made),)))  # type: ignore[union-attr]
        # A child of the seed comes last of all rows; one of an earlier node would come above.
        deep = ev.DesignDone("0" * 64, "tune", "new", "why", parents=[1], digest="e")
        app.session.take(Batch(live_run.run, True, (ev.Event(10**6 + 1, model.state.at, 98, node + 1, deep),)))  # type: ignore[union-attr]
        await pilot.pause(0.5)
        assert [tree.row_strip(y).text for y in range(tree.size.height)] == before
        assert tree.count() == node + 2


async def test_search_filter_order_fold_follow(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        tree = live.view.tree_view
        model = live.session.model
        assert model is not None
        await pilot.press("slash", *"#7", "enter")
        assert tree.selected is not None and tree.selected.id == 7
        await pilot.press("slash", *"status:failed", "enter")
        assert tree.selected.status not in (None, "ok")
        await pilot.press("ampersand", *"score>1.1", "enter")
        assert tree.count() and all((model.state.nodes[row].score or 0) > 1.1 for row in tree.rows)
        await pilot.press("o")
        scores = [model.state.nodes[row].score or 0 for row in tree.rows]
        assert scores == sorted(scores, reverse=True)
        await pilot.press("escape", "o", "o")
        assert tree.count() == 60
        await pilot.press("home", "left")
        assert tree.count() == 1
        await pilot.press("right", "b")
        assert tree.selected is not None and tree.selected.id == model.state.best
        await pilot.press("f")
        assert tree.following == "newest" and tree.selected.id == 59
        await pilot.press("up")
        assert tree.following == ""


async def test_a_lineage_of_1500_generations(runs: Path, make_app: Maker) -> None:
    app = make_app(make_run(runs / "chain", 1500, shape="chain", end="paused"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("end")
        assert "‹" in text_of(app) and "#1499" in text_of(app)
        await pilot.press("left", "z", "z", "home")
        assert "#0 seed" in text_of(app)


async def test_hostile_text_on_every_screen(runs: Path, make_app: Maker) -> None:
    app = make_app(make_run(runs / "hostile", 30, hostile=True, end="finished"))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        texts = [text_of(app)]
        await pilot.press("down", "enter")
        for key in "123456":
            await pilot.press(key)
            await pilot.pause(0.15)
            texts.append(text_of(app))
        for text in texts:
            assert not any(char in text for char in "\x1b\x07\x9b\u202e\u200b\r\b")
        assert "[bold red]markup" in texts[0]


async def test_the_list_of_runs(runs: Path, make_app: Maker) -> None:
    make_run(runs / "one", 10, end="finished")
    make_run(runs / "two", 10, seed=2)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "finished" in text_of(app) and "dead" in text_of(app), "the list")
        screen: Any = app.screen
        assert isinstance(screen, RunsScreen)
        first = screen._list.selected.name
        await pilot.press("R")
        assert isinstance(app.screen, Prompt)
        await pilot.press(*("backspace" for _ in range(3)), *"renamed", "enter")
        await until(pilot, lambda: "renamed" in text_of(app), "the new name")
        assert (runs / "renamed" / "run.db").exists() and not (runs / first).exists()
        await pilot.press("D", "n")
        assert (runs / "renamed").exists()
        await pilot.press("D", "y")
        await until(pilot, lambda: not (runs / "renamed").exists(), "the removal")
        await pilot.press("enter")
        await opened(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen), "the list again")


async def test_a_name_that_is_refused_can_be_mended(runs: Path, make_app: Maker) -> None:
    make_run(runs / "one", 5, end="finished")
    make_run(runs / "two", 5, end="finished")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "finished" in text_of(app), "the list")
        screen: Any = app.screen
        first = screen._list.selected.name
        other = "two" if first == "one" else "one"
        await pilot.press("R", *other, "enter")
        prompt = app.screen
        assert isinstance(prompt, Prompt)
        hint = prompt.query_one("#hint", Static)
        await until(pilot, lambda: f"a run '{other}' already" in str(hint.render()), "the refusal")
        assert app.screen is prompt and prompt.query_one(Input).value == other
        await pilot.press("end", "q", "enter")
        await until(pilot, (runs / f"{other}q").exists, "the new name")
        await until(pilot, lambda: app.screen is screen, "the list")


async def test_typing_replaces_what_a_prompt_holds(runs: Path, make_app: Maker) -> None:
    app = make_app(make_run(runs / "done", 10, rounds=10, end="finished"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for keys, value in (("14", "14"), (("end", "1"), "601"), (("left", "1"), "160")):
            await pilot.press("p", *keys)
            assert app.screen.query_one(Input).value == value
            await pilot.press("escape")
        await pilot.press("p", *"x", "enter")
        await until(pilot, lambda: "is no number" in str(app.screen.query_one("#hint", Static).render()), "the refusal")
        assert isinstance(app.screen, Prompt)


async def test_help_lists_the_bindings_that_work(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run, keymap={"run.pause": "f5"})
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "f5 Pause" in text_of(app)
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        lines = ["".join(span.text for span in line) for line in app.screen._lines]
        assert any("run.pause" in line and "f5" in line for line in lines)
        assert not any("run.resume" in line for line in lines), "what cannot be done is not offered"
        assert max(map(len, lines)) <= 78 and "stops evaluations at once" in " ".join(" ".join(lines).split())
        await pilot.press("end", "escape", "f12", "escape")
        assert isinstance(app.screen, LiveScreen)
        await pilot.press("f5")
        await until(pilot, lambda: live_run.commands() == [("pause", {})], "the remapped key")


@pytest.mark.parametrize("key", ["n", "b", "v", "q", "y"])
async def test_keymap_takes_a_key_from_any_other_binding(live_run: Desk, make_app: Maker, key: str) -> None:
    app = make_app(live_run.run, keymap={"run.pause": f"p,{key}"})
    async with app.run_test(size=(80, 24)) as pilot:
        live = await opened(pilot)
        assert live.active_bindings[key].binding.id == "run.pause"
        await pilot.press(key)
        await until(pilot, lambda: live_run.commands() == [("pause", {})], "the command")


async def test_every_binding_has_an_id_and_says_what_it_does(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        live = await opened(pilot)
        await pilot.press("enter")
        for screen in (live, app.screen):
            for active in screen.active_bindings.values():
                ours = type(active.node).__module__.startswith("tui.")
                inherited = active.binding.action in ("app.focus_next", "app.focus_previous", "screen.copy_text")
                if ours and not inherited and active.binding.action not in ("command_palette", "help_quit", "quit"):
                    assert active.binding.id and active.binding.tooltip, active.binding


async def test_too_small_says_so(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(59, 20)) as pilot:
        await opened(pilot)
        assert app.screen.query_one("#too-small").display and not app.screen.query_one("#tree").size.height
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert not app.screen.query_one("#too-small").display
        assert "#0 seed" in text_of(app)


async def test_no_layout_and_few_paints_in_steady_state(live_run: Desk, make_app: Maker, monkeypatch: Any) -> None:
    """Three seconds of ten events each: a layout pass would cost more bytes than all of it."""
    from textual.screen import Screen

    from tests.tui.synthetic import _pick_up
    from tui.feed.batch import Batch

    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.pause(0.6)
        passes: list[object] = []
        original = Screen._refresh_layout
        monkeypatch.setattr(
            Screen, "_refresh_layout", lambda self, *a, **k: (passes.append(1), original(self, *a, **k))[1]
        )
        pen = _pick_up(live_run.run)
        assert app.session is not None and app.session.model is not None
        for _ in range(30):
            app.session.take(Batch(live_run.run, True, tuple(pen.advance())))
            await pilot.pause(0.1)
        assert len(app.session.model.state.nodes) > 60
        assert passes == []


async def test_paused_nothing_is_painted(runs: Path, make_app: Maker, monkeypatch: Any) -> None:
    from engine.runs.folder import lock_run

    run = make_run(runs / "still", 30, end="paused")
    with lock_run(run):
        app = make_app(run)
        async with app.run_test(size=(120, 40)) as pilot:
            await opened(pilot)
            await pilot.pause(1.0)
            painted: list[object] = []
            original = Painted.refresh
            monkeypatch.setattr(
                Painted, "refresh", lambda self, *a, **k: (painted.append(self), original(self, *a, **k))[1]
            )
            await asyncio.sleep(2.2)
            assert painted == []


def hint_of(app: EvolveApp) -> str:
    """What stands below the line of a prompt."""
    return str(app.screen.query_one("#hint", Static).render())


async def test_a_filter_that_is_refused_keeps_its_prompt(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        live = await opened(pilot)
        await pilot.press("ampersand")
        assert "metrics: sum_radii circles" in hint_of(app)
        await pilot.press(*"status:good", "enter")
        assert "status is one of ok, rejected" in hint_of(app)
        # What is typed on is typed into the line: `q` does not quit, `x` prunes nothing.
        await pilot.press(*" qx")
        assert isinstance(app.screen, Prompt) and app.screen.query_one(Input).value == "status:good qx"
        await pilot.press("ctrl+u", *"sum_radi<1", "enter")
        assert "'sum_radi' is not known here" in hint_of(app) and "metrics: sum_radii" in hint_of(app)
        await pilot.press("ctrl+u", *"sum_radii<1", "enter")
        assert app.screen is live and 0 < live.view.tree_view.count() < 60
        assert not live_run.commands()
        await pilot.press("slash", *"is:nice", "enter")
        assert "is: is one of best" in hint_of(app)
        await pilot.press("ctrl+u", *"is:best", "enter")
        assert app.screen is live


async def test_a_path_that_cannot_be_read_keeps_its_prompt(
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
            ("~nobody-of-that-name/x", "is no path"),
            (" ", "there is not a word in it"),
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


async def test_an_edited_program_can_be_injected(live_run: Desk, make_app: Maker, monkeypatch: Any) -> None:
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


async def test_copy_says_what_is_certain_and_save_never_overwrites(
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


async def test_the_palette_offers_what_can_be_done(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("ctrl+p")
        await pilot.pause(0.3)
        await pilot.press(*"run: pause")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: live_run.commands() == [("pause", {})], "the command")


@pytest.mark.parametrize("theme", ["evolve-light", "ansi-16", "no such theme"])
async def test_themes(live_run: Desk, make_app: Maker, theme: str) -> None:
    app = make_app(live_run.run, theme=theme)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "#0 seed" in text_of(app)
        assert app.theme == (theme if " " not in theme else "evolve-dark")


async def test_a_terminal_without_unicode(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run, glyphs="ascii")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        text = text_of(app)
        assert text.isascii() and "* running" in text and "| v #1 " in text
        await pilot.press("enter")
        await until(pilot, lambda: "construct_packing" in text_of(app), "the code")
        assert text_of(app).isascii()


@pytest.mark.parametrize("glyphs", ["ascii", "unicode"])
async def test_the_footer_ends_in_help_whatever_the_signs(live_run: Desk, make_app: Maker, glyphs: str) -> None:
    app = make_app(live_run.run, glyphs=glyphs)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for width in range(60, 100, 3):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert text_of(app).splitlines()[-1].endswith(" ? Help"), width


async def test_a_run_that_vanishes_is_told(runs: Path, make_app: Maker, tmp_path: Path) -> None:
    run: Run = make_run(runs / "gone", 10, end="finished")
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        run.folder.rename(tmp_path / "elsewhere")
        await until(pilot, lambda: "is gone" in text_of(app), "the trouble")
