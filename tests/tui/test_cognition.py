"""The priors on the screen: found, edited, judged; conflicts, drafts, history. The base and the files are real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import TextArea

from cognition.collection import Collection
from cognition.sync import Sync
from engine.priors.place import open_collection, place_of_run
from engine.runs.folder import Run
from tests.e2e.runs import fold
from tests.tui.pilot import Maker, rested, text_of, until
from tests.tui.synthetic import HOSTILE, make_run
from tui.drafts import Draft, drafts_of, drop_draft, keep_draft
from tui.model.markdown import markdown_lines
from tui.model.prior_list import parse_filter
from tui.screens.cognition import CognitionScreen
from tui.screens.prior_conflict import PriorConflict
from tui.screens.prior_editor import PriorEditor
from tui.screens.prior_history import PriorHistory
from tui.textual_app import EvolveApp

SIZES = [(80, 24), (120, 40)]
PRIORS = {
    "hexagonal.md": "---\ntags: initial, layout\n---\n# Hexagonal packings\n\nStart from a lattice and relax.\n",
    "border.md": "---\ntags: local\nweight: 2\n---\n# Press against the border\n\nCircles at the border gain most.\n",
    "noise.md": "---\nenabled: false\n---\n# Shake it\n\nA little noise frees what is stuck.\n",
}


@pytest.fixture
def run(runs: Path, tmp_path: Path, workspace: Path) -> Run:
    """A run of 60 nodes whose priors lie in a folder."""
    folder = tmp_path / "task" / "priors"
    folder.mkdir(parents=True)
    for name, text in PRIORS.items():
        (folder / name).write_text(text)
    return make_run(runs / "packing", 60, end="paused", priors=folder)


@pytest.fixture
def base(run: Run) -> Iterator[Collection]:
    """The same priors, as another process sees them."""
    collection = open_collection(place_of_run(run.folder, fold(run)))
    yield collection
    collection.store.close()


async def on_priors(pilot: Any, *keys: str) -> CognitionScreen:
    """The screen once the priors are read."""
    app: EvolveApp = pilot.app
    await until(pilot, lambda: app.session is not None and app.session.model is not None, "the run to be read")
    await pilot.press(*(keys or ("C",)))
    await until(pilot, lambda: isinstance(app.screen, CognitionScreen), "the screen")
    screen = app.screen
    assert isinstance(screen, CognitionScreen)
    await until(pilot, lambda: "reading the priors" not in text_of(app), "the priors")
    return screen


def line_of(app: EvolveApp, part: str) -> str:
    """The first line that holds something."""
    return next((line for line in text_of(app).splitlines() if part in line), "")


@pytest.mark.parametrize("size", SIZES)
async def test_list_shows_use_and_gain_of_each_prior(make_app: Maker, run: Run, size: tuple[int, int]) -> None:
    app = make_app(run)
    async with app.run_test(size=size) as pilot:
        await on_priors(pilot)
        await until(pilot, lambda: "+0." in line_of(app, "Hexagonal") or "-0." in line_of(app, "Hexagonal"), "the gain")
        text = text_of(app)
        for part in ("of circle_packing", "3, by title", "weight  shown  used", "⏎ Edit", "? Help"):
            assert part in text, part
        assert "●" in line_of(app, "Hexagonal packings ") and "○" in line_of(app, "Shake it")
        assert " 2 " in line_of(app, "Press against")
        assert ("initial, layout" in line_of(app, "● ")) == (size[0] >= 100) or "Hexagonal" not in line_of(app, "● ")
        assert "hexagonal.md  revision 1" in text, "the first row by title is under the cursor"
        await pilot.press("tab")
        await until(pilot, lambda: "last shown in round" in text_of(app), "all that is known")
        await pilot.press("s", "s", "s")
        assert "by weight" in text_of(app)
        rows = text_of(app).splitlines()
        assert next(row for row in rows if "●" in row).split("●")[1].split()[0] == "Press"
        await pilot.press("ampersand", *"is:off", "enter")
        await until(pilot, lambda: "1 shown: is:off" in text_of(app), "the filter")
        assert "Hexagonal" not in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: "Hexagonal" in text_of(app), "all")
        await pilot.press("escape")
        await until(pilot, lambda: "Population" in text_of(app), "the run")


async def test_search_says_why_it_found_a_prior(make_app: Maker, run: Run) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_priors(pilot)
        await pilot.press("slash", *"lattice noise", "enter")
        await until(pilot, lambda: "for lattice noise, by words only" in text_of(app), "the search")
        assert "words #1 (lattice)" in line_of(app, "Hexagonal")
        assert "Shake it" not in text_of(app), "it is off"
        await pilot.press("slash", *"nothing of it", "enter")
        await until(pilot, lambda: "no enabled prior has any of these words" in text_of(app), "that nothing was found")
        await pilot.press("escape")
        await until(pilot, lambda: "Shake it" in text_of(app), "all")


async def test_search_for_a_node_finds_what_a_round_would(make_app: Maker, run: Run) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_priors(pilot, "down", "enter", "C")
        await until(pilot, lambda: "for node #" in text_of(app), "the search")
        await pilot.press("n", *"0", "enter")
        await until(pilot, lambda: "for node #0, by words only" in text_of(app), "the other node")
        await pilot.press("n", *"999", "enter")
        await until(pilot, lambda: "there is no node 999" in _hint(app), "the refusal")


@pytest.mark.parametrize("size", SIZES)
async def test_edit_makes_a_revision_and_a_file(
    make_app: Maker, run: Run, base: Collection, size: tuple[int, int]
) -> None:
    app = make_app(run)
    async with app.run_test(size=size) as pilot:
        await on_priors(pilot)
        await pilot.press("enter")
        assert isinstance(app.screen, PriorEditor)
        text = text_of(app)
        assert "hexagonal.md" in text and "Save" in text and "Quit" not in text, "q is a letter here"
        assert ("lattice and relax" in text) == (size[0] >= 100), "the preview, where there is room"
        await pilot.press("ctrl+end", *"Quickly?", "f3")
        await until(pilot, lambda: "* not saved" in text_of(app) and "Quickly?" in text_of(app), "the preview")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "saved as revision 2; the next learn stage reads it" in text_of(app), "the word")
        assert base.get("hexagonal").prior.text == PRIORS["hexagonal.md"] + "Quickly?"
        assert (base.folder / "hexagonal.md").read_text().endswith("Quickly?")
        assert "revision 2" in text_of(app)
        await pilot.press("h")
        assert isinstance(app.screen, PriorHistory)
        await until(pilot, lambda: "+Quickly?" in text_of(app), "what it changed")
        await pilot.press("right")
        await until(pilot, lambda: "+Quickly?" not in text_of(app), "the rest of long lines")
        await pilot.press("down", "r", "y")
        await until(pilot, lambda: "as it was in revision 1, revision 3" in text_of(app), "the way back")
        assert base.get("hexagonal").prior.text == PRIORS["hexagonal.md"] and len(base.history("hexagonal")) == 3


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        ("m", {"hexagonal": "mine"}),
        ("t", {"hexagonal": "theirs"}),
        ("b", {"hexagonal": "theirs", "hexagonal-mine": "mine"}),
    ],
)
async def test_conflict_shows_both_texts_and_asks(
    make_app: Maker, run: Run, base: Collection, key: str, texts: dict[str, str]
) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_priors(pilot)
        await pilot.press("enter", *"mine ")
        base.edit("hexagonal", "# theirs\n")
        await until(pilot, lambda: "revision 2 came meanwhile; this is from 1" in text_of(app), "the warning")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, PriorConflict), "the conflict")
        assert "-# theirs" in text_of(app) and "+mine ---" in text_of(app) and "Keep both" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, PriorEditor), "the editor")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, PriorConflict), "the conflict again")
        await pilot.press(key)
        await until(pilot, lambda: app.screen is screen, "the list")
        assert not list(screen.drafts_folder.glob("*.json"))
    for prior_id, word in texts.items():
        assert word in base.get(prior_id).prior.text.splitlines()[0]
    assert "theirs" in base.revision("hexagonal", 2).text, "nothing is lost"


async def test_draft_outlives_the_application(make_app: Maker, run: Run, base: Collection) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_priors(pilot)
        await pilot.press("enter", *"lost? ")
        await until(pilot, lambda: list(screen.drafts_folder.glob("*.json")), "the draft")
        await pilot.press(*"no ")
        app.exit()
    again = make_app(run)
    async with again.run_test(size=(80, 24)) as pilot:
        screen = await on_priors(pilot)
        await until(pilot, lambda: "unsaved text of hexagonal; u continues it" in text_of(again), "the offer")
        assert "●*" in line_of(again, "Hexagonal")
        await pilot.press("u")
        await until(pilot, lambda: "unsaved draft of" in text_of(again), "the word")
        assert again.screen.query_one(TextArea).text == "lost? no " + PRIORS["hexagonal.md"]
        await pilot.press("escape")
        await until(pilot, lambda: again.screen is screen, "the list")
        await pilot.press("u", "f5", "y")
        await until(pilot, lambda: again.screen is screen, "the list")
        assert not list(screen.drafts_folder.glob("*.json")) and "Draft" not in text_of(again)
    assert len(base.history("hexagonal")) == 1


async def test_broken_front_matter_is_reported_while_typing_and_on_save(
    make_app: Maker, run: Run, base: Collection
) -> None:
    app = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await on_priors(pilot)
        await pilot.press("enter", *"oops ")
        await until(pilot, lambda: "line 2 is read as text: 'tags: initial, layout'" in text_of(app), "the word")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is screen, "the list")
        await until(
            pilot,
            lambda: "'hexagonal' is saved, but line 2 is read as text: 'tags:" in text_of(app),
            "the word at saving",
        )
    assert base.get("hexagonal").prior.tags == ()


async def test_broken_prior_is_shown_until_it_is_mended(make_app: Maker, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "task" / "priors" / "noise.md"
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_priors(pilot)
        file.write_text("---\nenabeld: false\n---\n# Shake it\n")
        await until(pilot, lambda: "1 broken: & is:broken" in text_of(app), "the count")
        assert line_of(app, "Shake it").startswith(" !")
        await pilot.press("ampersand", *"is:broken", "enter")
        await until(pilot, lambda: "1 shown: is:broken" in text_of(app), "the filter")
        assert "enabeld" in text_of(app) and "revision 1 stays in use" in text_of(app).replace("\n", " ")
        file.write_text(PRIORS["noise.md"])
        await until(pilot, lambda: "broken: &" not in text_of(app), "the mended prior")


async def test_new_prior_is_added(make_app: Maker, run: Run, base: Collection) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_priors(pilot)
        await pilot.press("a", *"hexagonal", "enter")
        await until(pilot, lambda: "there is a prior 'hexagonal' already" in _hint(app), "the refusal")
        await pilot.press("ctrl+u", *"three-rings", "enter")
        await until(pilot, lambda: isinstance(app.screen, PriorEditor), "the editor")
        await pilot.press(*"Three.", "escape")
        await until(pilot, lambda: app.screen is screen, "the list")
        assert base.find("three-rings") is None
        await until(pilot, lambda: "unsaved text of three-rings; u continues it" in text_of(app), "the offer")
        await pilot.press("u", "escape", "u")
        await until(pilot, lambda: isinstance(app.screen, PriorEditor), "the editor")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "'three-rings' is saved as revision 1" in text_of(app), "the word")
        await pilot.press("space")
        await until(pilot, lambda: "three-rings: off, revision 2" in text_of(app), "off")
        await pilot.press("w", *"0.5", "enter")
        await until(pilot, lambda: "weight 0.5, revision 3" in text_of(app), "the weight")
        await pilot.press("D", "y")
        await until(pilot, lambda: "three-rings: removed" in text_of(app), "removed")
        assert not (base.folder / "three-rings.md").exists()
        await pilot.press("A", "G")
        await until(pilot, lambda: "R Restore" in text_of(app) or "three-rings.md" in text_of(app), "the removed one")
        await pilot.press("R")
        await until(pilot, lambda: "three-rings: restored" in text_of(app), "restored")
    entry = base.get("three-rings")
    assert (entry.status, entry.prior.weight, entry.prior.enabled) == ("active", 0.5, False)
    assert entry.prior.body == "# Three rings\n\nThree." and (base.folder / "three-rings.md").exists()


def _hint(app: EvolveApp) -> str:
    return str(app.screen.query_one("#hint").render())


async def test_proposals_are_accepted_or_rejected(make_app: Maker, run: Run, base: Collection) -> None:
    for name in ("one", "two", "three"):
        base.propose(name, f"# Proposal {name}\n", run=run.name, nodes=[3, 5])
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_priors(pilot)
        text = text_of(app)
        assert "3 proposed" in text and "y Accept" in text and "x Reject" in text
        assert [row.row.entry.id for row in screen._list.found[:3]] == ["one", "three", "two"], "they come first"
        await pilot.press("tab")
        await until(pilot, lambda: "evidence  nodes of run packing" in text_of(app) and "#5" in text_of(app), "why")
        await pilot.press("y")
        await until(pilot, lambda: "one: accepted" in text_of(app), "the word")
        await pilot.press("g", "x", *"too vague", "enter")
        await until(pilot, lambda: "three: rejected" in text_of(app), "the word")
        await pilot.press("g", "enter", "ctrl+end", *"More.", "ctrl+s")
        await until(pilot, lambda: "'two' is accepted as revision 2" in text_of(app), "the word")
    entries = {name: base.get(name) for name in ("one", "two", "three")}
    assert [(entry.status, entry.reason) for entry in entries.values()] == [
        ("active", ""), ("active", ""), ("rejected", "too vague")
    ]  # fmt: skip
    assert (base.folder / "one.md").exists() and "More." in (base.folder / "two.md").read_text()


async def test_list_follows_changes_of_files_and_base(make_app: Maker, run: Run, base: Collection) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_priors(pilot)
        (base.folder / "hexagonal.md").write_text("# Changed in a file\n")
        (base.folder / "bad.md").write_text("---\nwieght: 3\n---\n# Bad\n")
        await until(pilot, lambda: "Changed in a file" in text_of(app), "the file's text")
        await until(pilot, lambda: "bad.md: line 2: 'wieght: 3'" in text_of(app), "what is wrong")
        base.set_enabled("border", False)
        await until(pilot, lambda: "○" in line_of(app, "Press against"), "the base's change")
        (base.folder / "border.md").unlink()
        (base.folder / "hexagonal.md").unlink()
        await until(pilot, lambda: "✗" in line_of(app, "Changed in a file"), "that the file is gone")


async def test_external_editor_changes_a_prior(
    make_app: Maker, run: Run, base: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter(["# By hand\n", "---\nweight: much\n---\n# By hand\n"])
    monkeypatch.setattr("tui.screens.prior_actions.edit_text", lambda *_: next(texts))
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_priors(pilot)
        await pilot.press("E")
        await until(pilot, lambda: "saved as revision 2" in text_of(app), "the word")
        assert base.get("hexagonal").prior.text == "# By hand\n"
        await pilot.press("E")
        await until(pilot, lambda: "not saved: weight: 'much' is not a number" in text_of(app), "the refusal")
        assert isinstance(app.screen, PriorEditor), "what was typed is still there"
        assert "much" in app.screen.query_one(TextArea).text


async def test_priors_open_from_the_list_of_runs_and_without_their_folder(
    make_app: Maker, run: Run, runs: Path
) -> None:
    make_run(runs / "old", 5, end="finished")
    make_run(runs / "from elsewhere", 5, end="finished", priors=runs.parent / "gone" / "priors")
    wanted = {"does not say where", "Press against", "as the run recorded them"}
    seen: set[str] = set()
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: all(name in text_of(app) for name in ("old", "packing", "elsewhere")), "the list")
        for _ in wanted:
            await pilot.press("C")
            await until(pilot, lambda: bool(found(app, wanted)), "one of them")
            seen |= found(app, wanted)
            await pilot.press("escape", "down")
    assert seen == wanted


def found(app: EvolveApp, parts: set[str]) -> set[str]:
    """Which of some texts are shown."""
    return {part for part in parts if part in text_of(app)}


async def test_hostile_priors_are_shown_as_text(make_app: Maker, run: Run, base: Collection) -> None:
    shown = "".join(sign for sign in HOSTILE if sign.isprintable() or sign in "\u202e\u202c\u200b").replace("\n", " ")
    (base.folder / "hexagonal.md").write_text(f"# \u202eEvil [bold]\u200b\n\n{shown}\n", errors="replace")
    Sync(base).run()
    app = make_app(run)
    async with app.run_test(size=(120, 40)) as pilot:
        await on_priors(pilot)
        await pilot.press("G")
        for keys in ((), ("tab",), ("h",), ("escape", "enter")):
            await pilot.press(*keys)
            await until(pilot, lambda: "Evil [bold]" in _drawn(app), "the title")
            assert not {"\u202e", "\u200b", "\x1b", "\x9b"} & set(_drawn(app))


def _drawn(app: EvolveApp) -> str:
    area = app.screen.query(TextArea)
    return text_of(app) + "".join(area.first().render_line(y).text for y in range(10) if area)


async def test_idle_priors_screen_paints_nothing(make_app: Maker, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await on_priors(pilot)
        await until(pilot, lambda: "+0." in text_of(app) or "-0." in text_of(app), "the figures")
        painted: list[object] = []
        monkeypatch.setattr(type(screen._compositor), "render_update", lambda *_, **__: painted.append(1))
        await rested(2.5, painted)


@pytest.mark.parametrize("size", [(59, 14), (1, 1), (200, 60)])
async def test_priors_screen_fits_any_size(make_app: Maker, run: Run, size: tuple[int, int]) -> None:
    app = make_app(run)
    async with app.run_test(size=(80, 24)) as pilot:
        await on_priors(pilot)
        for keys in ((), ("enter",), ("f3", "escape", "h")):
            await pilot.press(*keys)
            await pilot.resize_terminal(*size)
            await pilot.pause()
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
        await pilot.press("escape")
        await until(pilot, lambda: "Hexagonal" in text_of(app), "the list")


@given(text=st.text(max_size=400), width=st.integers(1, 120))
def test_any_markdown_is_drawn_without_control_characters(text: str, width: int) -> None:
    for line in markdown_lines(text, width):
        drawn = "".join(span.text for span in line)
        assert "\n" not in drawn and "\x1b" not in drawn


def test_markdown_keeps_code_and_joins_paragraphs() -> None:
    text = "---\ntags: a\n---\n\n# Title\n\none\ntwo\n- item\n  goes on\n\n```python recipe\nx  =  1\n```\nlast"
    drawn = ["".join(span.text for span in line) for line in markdown_lines(text, 60)]
    assert drawn == [
        "tags: a", "", "Title", "", "one two", "- item goes on", "", "── python recipe", "  x  =  1", "last"
    ]  # fmt: skip


def test_filters_of_priors() -> None:
    with pytest.raises(ValueError, match="'odd' is none of on, off"):
        parse_filter("is:odd")


drafts = st.builds(
    Draft, st.just("base"), st.sampled_from(["a", "b"]), st.text(min_size=1, max_size=9), st.integers(0, 9), st.text(),
    st.integers(0, 10**12),
)  # fmt: skip


@given(written=st.lists(drafts, max_size=6))
def test_kept_drafts_are_found(tmp_path_factory: pytest.TempPathFactory, written: list[Draft]) -> None:
    folder = tmp_path_factory.mktemp("drafts")
    for draft in written:
        keep_draft(folder, draft)
    (folder / "broken.json").write_bytes(b"{")
    newest = {(draft.collection, draft.id): draft for draft in written}
    for collection in ("a", "b"):
        wanted = {id_: draft for (of, id_), draft in newest.items() if of == collection}
        assert drafts_of(folder, "base", collection) == wanted
    for draft in newest.values():
        drop_draft(folder, "base", draft.collection, draft.id)
    assert not drafts_of(folder, "base", "a")
