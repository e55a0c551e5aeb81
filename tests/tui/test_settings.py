"""Settings: kept in config.toml without touching anything else there; hints for whoever is new, once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.runs.folder import Run
from tests.tui.conftest import Desk
from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.synthetic import make_run
from tui.feed.live import LiveFeed
from tui.screens.runs import RunsScreen
from tui.screens.settings import SettingsScreen
from tui.settings import TuiSettings, read_settings, save_setting
from tui.textual_app import EvolveApp
from tui.theme import THEMES
from tui.widgets.hints import HintBar

SIZES = [(80, 24), (120, 40)]
FILE = """\
# mine
[run]            # for runs
workers = 3
theme = "not this one"

[tui]
# colours
theme = 'evolve-light'   # bright room
mouse = true

[tui.keymap]
"run.pause" = "p,f5" # both

[models.local]
base_url = "http://127.0.0.1:1/v1"
"""


@pytest.mark.parametrize("name", ["textual-dark", "evolve-dark"])
def test_textual_widgets_use_our_theme_from_the_start(
    runs: Path, make_app: Maker, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # What Textual takes from $TEXTUAL_THEME when it is imported; `run_tui` sets that to ours.
    monkeypatch.setattr(EvolveApp.theme, "_default", name)
    assert make_app().stylesheet._variables["foreground"].casefold() == THEMES["evolve-dark"].foreground


def test_setting_a_key_keeps_the_rest_of_the_file(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(FILE)
    assert save_setting(config, "theme", "ansi-16").theme == "ansi-16"
    assert config.read_text() == FILE.replace("'evolve-light'   #", '"ansi-16"   #')
    settings = save_setting(config, "bell", True)
    assert settings == read_settings(config) and settings.bell and settings.mouse
    assert settings.keymap == {"run.pause": "p,f5"}
    lines = config.read_text().splitlines()
    assert [line for line in lines if line != "bell = true"] == FILE.replace("'evolve-light'", '"ansi-16"').splitlines()
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("before", ["", "# nothing yet", "[run]\nworkers = 2", "[tui]", "[tui]\n[run]\nworkers = 1\n"])
def test_setting_a_key_in_nearly_empty_files(tmp_path: Path, before: str) -> None:
    config = tmp_path / "new" / "config.toml"
    if before:
        config.parent.mkdir()
        config.write_text(before)
    save_setting(config, "glyphs", "ascii")
    save_setting(config, "glyphs", "unicode")
    table = tomllib.loads(config.read_text())
    assert table.pop("tui") == {"glyphs": "unicode"}
    assert table == {key: value for key, value in tomllib.loads(before).items() if key != "tui"}
    assert all(line in config.read_text() for line in before.splitlines())


@pytest.mark.parametrize(
    "before",
    [
        "tui = {theme = 'ansi-16'}\n",
        "tui.theme = 'ansi-16'\n",
        '[tui]\ntheme = """\na"""\n',
        "[tui\n",
        "x = '''\n[tui]\n'''\n[tui]\n",
    ],
)
def test_file_that_cannot_be_changed_safely_is_left_alone(tmp_path: Path, before: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(before)
    with pytest.raises(UsageError):
        save_setting(config, "theme", "evolve-light")
    assert config.read_text() == before and list(tmp_path.iterdir()) == [config]


LINES = ["# a comment", "", "[run]", "[tui]", "[tui.keymap]", "[other]", "theme = 'ansi-16' # x", "mouse = true"]


LINES = ["# a comment", "", "[run]", "[tui]", "[tui.keymap]", "[other]", "theme = 'ansi-16' # x", "mouse = true"]
CHANGES: list[tuple[str, Any]] = [("theme", "evolve-light"), ("mouse", False), ("bell", True)]


@given(lines=st.lists(st.sampled_from(LINES), max_size=8), change=st.sampled_from(CHANGES))
def test_any_file_keeps_its_rest_or_is_refused(lines: list[str], change: tuple[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        check_any(Path(folder) / "config.toml", lines, change)


def check_any(config: Path, lines: list[str], change: tuple[str, Any]) -> None:
    """Change one key of a file and look what became of the rest."""
    config.write_text("\n".join(lines))
    try:
        before = tomllib.loads("\n".join(lines))
        save_setting(config, *change)
    except (UsageError, tomllib.TOMLDecodeError):
        assert config.read_text() == "\n".join(lines)
        return
    after = tomllib.loads(config.read_text())
    assert after["tui"].pop(change[0]) == change[1]
    before.get("tui", {}).pop(change[0], None)
    assert (
        after["tui"] == before.pop("tui", {}) and {key: value for key, value in after.items() if key != "tui"} == before
    )
    assert config.read_text().count("#") == "\n".join(lines).count("#")


@pytest.mark.parametrize("size", SIZES)
async def test_settings_screen_changes_and_saves(
    make_app: Maker, runs: Path, workspace: Path, size: tuple[int, int]
) -> None:
    config = workspace / "config.toml"
    workspace.mkdir()
    config.write_text(FILE)
    app = make_app()
    app.settings = read_settings(config)
    async with app.run_test(size=size) as pilot:
        await pilot.press("f2")
        assert isinstance(app.screen, SettingsScreen)
        await until(pilot, lambda: "evolve-light" in text_of(app) and "run.pause" in text_of(app), "the settings")
        assert "[run] workers, theme" in text_of(app) and f"   {config}"[: size[0]] in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.theme == "ansi-16", "the theme")
        await pilot.press("down", "enter", "enter")
        assert app.plain and read_settings(config).glyphs == "ascii"
        await until(pilot, lambda: "ascii" in text_of(app), "the value")
        await pilot.press("left", "left", "down", "space", "down", "right")
        settings = read_settings(config)
        assert settings == TuiSettings("ansi-16", False, "auto", True, {"run.pause": "p,f5"}) and not app.plain
        assert "# bright room" in config.read_text() and "# both" in config.read_text()
        config.write_text("[tui")
        await pilot.press("enter")
        await until(pilot, lambda: "is not valid TOML" in text_of(app), "the reason")
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


async def test_edited_config_is_applied_or_refused(
    make_app: Maker, runs: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = '[tui]\n[tui.keymap]\n"run.pose" = "p"\n'
    bad = "[tui]\ncolour = 1\n"
    texts = iter(['[tui]\ntheme = "evolve-light"\n', bad, pose, bad, None, ""])
    given: list[str] = []

    def edit(app: object, guard: object, text: str, name: str) -> str | None:
        given.append(text)
        return next(texts)

    monkeypatch.setattr("tui.screens.settings.edit_text", edit)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f2", "e")
        await until(pilot, lambda: app.theme == "evolve-light", "the theme")
        await pilot.press("e")
        await until(pilot, lambda: "unknown key 'tui.colour'" in text_of(app), "the reason")
        assert (workspace / "config.toml").read_text() == '[tui]\ntheme = "evolve-light"\n'
        await pilot.press("e")
        await until(pilot, lambda: "unknown id run.pose" in text_of(app), "the word about the key")
        assert given[-1] == bad, "what was refused is not lost"
        await pilot.press("e", "e")
        await until(pilot, lambda: "is discarded" in text_of(app), "the word about what was refused")
        assert (workspace / "config.toml").read_text() == pose
        await pilot.press("e")
        await until(pilot, lambda: (workspace / "config.toml").read_text() == "", "the emptied file")
        assert given[-1] == pose


async def test_editor_and_file_that_are_no_use_are_told(
    make_app: Maker, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "vim '")
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f2", "e")
        await until(pilot, lambda: "is not a command" in text_of(app), "the word about the editor")
        workspace.mkdir(exist_ok=True)
        (workspace / "config.toml").write_bytes(b"\xff\xfe")
        await pilot.press("e")
        await until(pilot, lambda: "cannot be read" in text_of(app), "the word about the file")


async def start(runs: Path, hinted: bool) -> None:
    """Start the application as the command does, and open a run."""
    app = EvolveApp(runs, None, TuiSettings(), LiveFeed, hints=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "finished" in text_of(app), "the list")
        assert ("New here?" in text_of(app)) == hinted and "? Help" in text_of(app)
        await pilot.press("enter")
        await opened(pilot)
        assert not app.screen.query(HintBar) and "New here?" not in text_of(app)


async def test_hints_are_shown_once_until_the_first_key(runs: Path, workspace: Path) -> None:
    make_run(runs / "one", 5, end="finished")
    await start(runs, hinted=True)
    await start(runs, hinted=False)
    assert (workspace / "state" / "hints-seen").exists()


@pytest.mark.parametrize("bell", [True, False])
async def test_bell_rings_for_a_new_best_if_enabled(
    live_run: Desk, make_app: Maker, monkeypatch: pytest.MonkeyPatch, bell: bool
) -> None:
    rung: list[int] = []
    app = make_app(live_run.run, bell=bell)
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert not rung, "what was before is over"
        await pilot.press("p")
        await until(pilot, live_run.commands, "the command")
        live_run.answer(ev.BestCrowned(9.0), node=1)
        await until(pilot, lambda: "#1" in text_of(app).splitlines()[0], "the best")
    assert bool(rung) == bell


async def test_new_run_says_what_is_missing(runs: Path, make_app: Maker) -> None:
    from engine.journal.database import create_journal, insert_event
    from tests.tui.synthetic import Synthesizer

    folder = runs / "new"
    folder.mkdir(parents=True)
    connection = create_journal(folder / "run.db")
    for event in Synthesizer().begin()[:2]:
        insert_event(connection, event)
    connection.close()
    app = make_app(Run(folder))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        text = text_of(app)
        for piece in ("no node yet", "no score yet", "nothing yet"):
            assert piece in text, piece


async def test_empty_list_says_how_to_start_a_run(make_app: Maker) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "no run yet: press t to start one" in text_of(app), "the advice")
