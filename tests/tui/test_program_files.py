"""Programs that are folders: their files in the node screen, each with what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tui.pilot import Maker, opened, text_of, until
from tests.tui.stage import staged
from tests.tui.synthetic import make_run
from tui.model.program_files import ProgramFile, compare_files
from tui.widgets.files import FileList

BEFORE = "// ==== FILE: a.c ====\nint a;\nint b;\n\n// ==== FILE: b.h ====\nint c;\n\n// ==== FILE: old.c ====\nint d;"
AFTER = "// ==== FILE: a.c ====\nint a;\nint e;\nint f;\n\n// ==== FILE: b.h ====\nint c;\n\n// ==== FILE: new.c ====\n"


def test_files_tell_what_became_of_them() -> None:
    assert compare_files(BEFORE, AFTER) == [
        ProgramFile("a.c", 21, "changed", 2, 1),
        ProgramFile("b.h", 7, "same"),
        ProgramFile("new.c", 1, "new", 1, 0),
        ProgramFile("old.c", 7, "deleted", 0, 1),
    ]
    assert {file.change for file in compare_files(None, AFTER)} == {"same"}
    assert compare_files(None, "no folder") == []


async def test_a_long_list_keeps_the_chosen_file_in_view_and_repaints_rows_alone() -> None:
    async with staged(FileList()) as stage:
        widget = stage.widget
        assert isinstance(widget, FileList)
        files = [ProgramFile(f"src/file{number:02}.c", number, "same") for number in range(40)]
        widget.show(files)
        for step in (1, 1, 1, -1, -1, -1, -1, 1, 40):
            widget.move(step)
            stage.frame()
            shown = ["".join(text for text, _ in widget.row_pieces(y)) for y in range(widget.size.height)]
            grounds = [widget.row_ground(y) for y in range(widget.size.height)]
            assert grounds.count("cursor") == 1
            assert (widget.chosen or "all files") in shown[grounds.index("cursor")]
        widget.show([])
        assert widget.chosen == "src/file39.c"
        widget.show(files[:3])
        assert widget.chosen == ""


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_code_and_diff_of_one_file(runs: Path, make_app: Maker, size: tuple[int, int], tmp_path: Path) -> None:
    app: Any = make_app(make_run(runs / "folders", 30, end="finished", several=True))
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("b", "enter")
        await until(pilot, lambda: "all 2 files, 2 of them changed" in text_of(app), "the files")
        await until(pilot, lambda: "==== FILE: pack.py" in text_of(app), "the whole program")
        await pilot.press("f", "f")
        await until(pilot, lambda: "1 def relax" in text_of(app), "the second file")
        assert "==== FILE" not in text_of(app)
        await pilot.press("2")
        await until(
            pilot, lambda: "@@" in text_of(app) and "rate) for r" not in text_of(app).split("@@")[0], "its diff"
        )
        assert "SHRINK =" not in text_of(app) and "~ relax.py" in text_of(app)
        await pilot.press("3")
        await until(pilot, lambda: "relax.py" not in text_of(app), "no files above the metrics")
        await pilot.press("1")
        await until(pilot, lambda: "1 def relax" in text_of(app), "the same file again")
        await pilot.press("B", "B")
        await until(pilot, lambda: "==== FILE: pack.py" in text_of(app), "the whole program again")


async def test_a_program_is_saved_as_a_folder(
    runs: Path, make_app: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app: Any = make_app(make_run(runs / "folders", 30, end="finished", several=True))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("b", "enter", "w", "enter")
        saved = "folders-*/relax.py"
        # A file is there before its text is.
        await until(pilot, lambda: [file for file in tmp_path.glob(saved) if file.read_text()], "the folder")
    (file,) = tmp_path.glob(saved)
    assert file.read_text().startswith("def relax")
