"""What the screens show, without a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, Static

from engine.journal import events as ev
from engine.runs.folder import Run
from tests.tui.conftest import Desk
from tests.tui.pilot import SIZES, Maker, hint_of, opened, rested, row_of, text_of, until
from tests.tui.synthetic import make_run
from tui.glyphs import PLAIN
from tui.screens.dialogs import Prompt
from tui.screens.live import LiveScreen
from tui.screens.node import NodeScreen
from tui.screens.reading import HelpScreen
from tui.screens.runs import RunsScreen
from tui.widgets.painted import Painted


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


async def test_cut_names_and_rows_show_an_ellipsis(runs: Path, make_app: Maker) -> None:
    name = "circle_packing-with-a-name-20261122-0500"
    app = make_app(make_run(runs / name, 40, hostile=True, end="finished"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        lines = text_of(app).splitlines()
        assert "…122-0500 ■ finished" in lines[0] or "2-0500 ■ finished" in lines[0]
        assert row_of(app, 1).endswith("…") and len(row_of(app, 1)) <= 80


async def test_node_shows_each_tab(live_run: Desk, make_app: Maker) -> None:
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


async def test_keys_walk_a_lineage_and_diff_to_any_node(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(80, 24)) as pilot:
        live = await opened(pilot)
        model = live.session.model
        assert model is not None
        await pilot.press("down", "enter")
        node: Any = app.screen
        await pilot.press("b")
        assert node.node.id == model.state.best
        path = model.forest.lineage(model.state.best)
        for above in path[1:]:
            await pilot.press("u")
            assert node.node.id == above
        for below in reversed(path[:-1]):
            await pilot.press("o")
            assert node.node.id == below
        await pilot.press("d", *"#999", "enter")
        await until(pilot, lambda: "there is no node 999" in str(app.screen.query("#hint").first().render()), "why not")
        await pilot.press("escape", "d", *"#0", "enter")
        await until(
            pilot,
            lambda: any(
                line.startswith("--- #0 ") and line.rstrip().endswith("  seed") for line in text_of(app).splitlines()
            ),
            "the diff to the seed",
        )
        assert "compared with #0" in text_of(app)
        await pilot.press("d", "enter")
        await until(pilot, lambda: f"--- #{path[1]} " in text_of(app), "the diff to the parent")


async def test_new_nodes_do_not_move_the_view(live_run: Desk, make_app: Maker) -> None:
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


async def test_keys_search_filter_order_fold_and_follow(live_run: Desk, make_app: Maker) -> None:
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


async def test_lineage_of_1500_generations_is_shown(runs: Path, make_app: Maker) -> None:
    app = make_app(make_run(runs / "chain", 1500, shape="chain", end="paused"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("end")
        assert "‹" in text_of(app) and "#1499" in text_of(app)
        await pilot.press("left", "z", "z", "home")
        assert "#0 seed" in text_of(app)


async def test_every_screen_shows_hostile_text_as_text(runs: Path, make_app: Maker) -> None:
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


async def test_list_of_runs_follows_the_folder(runs: Path, make_app: Maker) -> None:
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


async def test_refused_name_can_be_corrected(runs: Path, make_app: Maker) -> None:
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


async def test_help_lists_the_bindings_that_work_now(live_run: Desk, make_app: Maker) -> None:
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


async def test_small_terminal_says_so(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(59, 20)) as pilot:
        await opened(pilot)
        assert app.screen.query_one("#too-small").display and not app.screen.query_one("#tree").size.height
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert not app.screen.query_one("#too-small").display
        assert "#0 seed" in text_of(app)


async def test_steady_state_needs_no_layout_pass(live_run: Desk, make_app: Maker, monkeypatch: Any) -> None:
    """Three seconds of ten events each: a layout pass would cost more bytes than all of it."""
    from textual.screen import Screen

    from tests.tui.stand_in import pick_up
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
        pen = pick_up(live_run.run)
        assert app.session is not None and app.session.model is not None
        for _ in range(30):
            app.session.take(Batch(live_run.run, True, tuple(pen.advance())))
            await pilot.pause(0.1)
        assert len(app.session.model.state.nodes) > 60
        assert passes == []


async def test_paused_run_paints_nothing(runs: Path, make_app: Maker, monkeypatch: Any) -> None:
    from engine.runs.folder import lock_run

    run = make_run(runs / "still", 30, end="paused")
    with lock_run(run):
        app = make_app(run)
        async with app.run_test(size=(120, 40)) as pilot:
            await opened(pilot)
            painted: list[object] = []
            original = Painted.refresh
            monkeypatch.setattr(
                Painted, "refresh", lambda self, *a, **k: (painted.append(self), original(self, *a, **k))[1]
            )
            await rested(2.2, painted)


async def test_refused_filter_keeps_its_prompt(live_run: Desk, make_app: Maker) -> None:
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


@pytest.mark.parametrize("theme", ["evolve-light", "ansi-16", "no such theme"])
async def test_themes_apply_and_an_unknown_one_falls_back(live_run: Desk, make_app: Maker, theme: str) -> None:
    app = make_app(live_run.run, theme=theme)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "#0 seed" in text_of(app)
        assert app.theme == (theme if " " not in theme else "evolve-dark")


async def test_ascii_glyphs_draw_only_ascii(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run, glyphs="ascii")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        text = text_of(app)
        assert text.isascii() and "* running" in text and "| v #1 " in text
        assert "search ← a few".translate(PLAIN) == "search < a few"
        await pilot.press("V")
        await until(pilot, lambda: "score" in text_of(app) and text_of(app).isascii(), "the table")
        await pilot.press("V", "enter")
        await until(pilot, lambda: "construct_packing" in text_of(app), "the code")
        assert text_of(app).isascii()


@pytest.mark.parametrize("glyphs", ["ascii", "unicode"])
async def test_footer_ends_in_help_at_any_width(live_run: Desk, make_app: Maker, glyphs: str) -> None:
    app = make_app(live_run.run, glyphs=glyphs)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        for width in range(60, 100, 3):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert text_of(app).splitlines()[-1].endswith(" ? Help"), width


async def test_vanished_run_is_reported(runs: Path, make_app: Maker, tmp_path: Path) -> None:
    run: Run = make_run(runs / "gone", 10, end="finished")
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        run.folder.rename(tmp_path / "elsewhere")
        await until(pilot, lambda: "is gone" in text_of(app), "the trouble")
