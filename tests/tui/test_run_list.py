"""The list of runs: search, tags, archive, disk space, and the runs of other machines, whose ssh is a stand-in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.runs.labels import Labels, read_labels
from tests.tui.pilot import Maker, hint_of, opened, text_of, until
from tests.tui.synthetic import make_run
from tui.screens.dialogs import Prompt


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two machines in config.toml: gpu1 has a run, gone is not reached; returns where ssh notes its arguments."""
    there = {
        "run": "/far/theirs", "name": "theirs", "status": "paused", "task": "sorting", "rounds": 7, "nodes": 8,
        "best": {"node": 3, "score": 2.5, "fitness": 2.5}, "started": "2031-01-01T00:00:00Z", "disk": 3_440_000,
    }  # fmt: skip
    stub, noted = tmp_path / "bin" / "ssh", tmp_path / "noted"
    stub.parent.mkdir()
    odd = {**there, "name": "x", "run": "/far/x", "started": "2001-01-01T00:00:00Z", "status": "odd"}
    (tmp_path / "answer").write_text(json.dumps([there, odd]))
    stub.write_text(
        f'#!/bin/sh\necho "$*" >> {noted}\ncase "$*" in *gone*) echo "no such host" >&2; exit 255;;\n'
        f"*runs*--json*) cat {tmp_path}/answer;; esac\n"
    )
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("EVOLVE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("[hosts.gpu1]\n[hosts.gone]\n")
    return noted


async def test_search_tags_and_archive(runs: Path, make_app: Maker) -> None:
    one, two = (make_run(runs / name, 5, seed=seed, end="finished") for name, seed in (("one", 1), ("two", 2)))
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: text_of(app).count(" kB ") == 2, "the list with its sizes")
        screen: Any = app.screen
        screen._list.go([row.name for row in screen._list.rows_].index("one"))
        await pilot.press("number_sign", *"-x", "enter")
        assert "cannot be a tag" in hint_of(app)
        await pilot.press("escape", "number_sign", *"good", "enter")
        await until(pilot, lambda: "one: good" in text_of(app), "a tag")
        await pilot.press("number_sign", *"night", "enter")
        await until(pilot, lambda: "one: good night" in text_of(app), "a tag beside it")
        await pilot.press("slash", *"tag:night", "enter")
        await until(pilot, lambda: "only tag:night" in text_of(app) and "two" not in text_of(app), "the search")
        await pilot.press("slash", *"tag:nope", "enter")
        await until(pilot, lambda: "no run matches" in text_of(app), "nothing to be found")
        await pilot.press("escape")
        await until(pilot, lambda: "two" in text_of(app), "all runs")
        screen._list.go([row.name for row in screen._list.rows_].index("one"))
        await pilot.press("a")
        await until(pilot, lambda: "1 archived" in text_of(app), "the archive")
        assert [row.name for row in screen._list.rows_] == ["two"]
        await pilot.press("A")
        await until(pilot, lambda: len(screen._list.rows_) == 2, "archived runs too")
        screen._list.go([row.name for row in screen._list.rows_].index("one"))
        await until(pilot, lambda: "one: (archived) good night" in text_of(app), "its tags")
        await pilot.press("slash", *"tags:1", "enter")
        assert isinstance(app.screen, Prompt) and "is not known here" in hint_of(app)
        await pilot.press("escape", "slash", *"tag:good", "enter", "m", "enter")
        await opened(pilot)
        await pilot.press("escape")
        await until(
            pilot, lambda: "only tag:good" in text_of(app) and "*one" in text_of(app), "the search as it was left"
        )
    assert read_labels(one.folder) == Labels(("good", "night"), True) and read_labels(two.folder) == Labels()


async def test_runs_of_other_machines(runs: Path, make_app: Maker, machines: Path) -> None:
    make_run(runs / "mine", 5, end="finished")
    app = make_app()
    given: list[list[str]] = []
    async with app.run_test(size=(120, 40)) as pilot:
        app.guard.run_child = lambda command: given.append(command) or 255  # type: ignore[method-assign, func-returns-value]
        await until(pilot, lambda: "gpu1:theirs" in text_of(app) and "no such host" in text_of(app), "other machines")
        screen: Any = app.screen
        names = [row.name for row in screen._list.rows_]
        assert names == ["gpu1:theirs", "mine", "gpu1:x", "gone"], "newest first, the one not reached last"
        assert "3.4 MB" in text_of(app) and "broken" in text_of(app)
        assert "3, 0 with an engine" in text_of(app) or "1 with an engine" in text_of(app)
        screen._list.go(0)
        await pilot.press("m", "a", "number_sign", "R", "D", "C")
        assert app.screen is screen and screen._list.marked == {}, "what acts on a run here does not act there"
        screen.on_runs_view_chosen(screen._list.Chosen(screen._list.selected))
        await until(pilot, lambda: "cannot be shown here" in text_of(app), "no terminal to give away")
        await pilot.press("slash", *"host:gpu1", "enter")
        await until(pilot, lambda: "mine" not in text_of(app), "the runs of one machine")
        screen._list.go(screen._list.count() - 1)
        await pilot.press("enter")
        await until(pilot, lambda: "no such host" in text_of(app).splitlines()[-1], "why it is not reached")
    asked = machines.read_text()
    assert "BatchMode=yes" in asked and "-- gpu1 evolve runs --json --archived --disk" in asked and given == []
