"""Tables in a narrow terminal: columns are omitted, text wraps or is cut, no line is too long."""

from __future__ import annotations

import calendar
import os
import sys
import time
from pathlib import Path

import pexpect
import pytest

from engine.cli.table import print_table
from engine.task.load import builtin_tasks, load_task
from tests.conftest import COMMAND, Evolve, TaskMaker

SAMPLES = Path(__file__).parents[3] / "sample_runs"


def shown(columns: int, *words: object, **variables: str) -> list[str]:
    """Return the lines that a command writes to a terminal."""
    # An exported COLUMNS would take precedence over the terminal's width.
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], *map(str, words)],
        dimensions=(24, columns), encoding="utf-8", timeout=90, env={**environment, **variables},
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return str(child.before).splitlines()


def test_list_of_runs_omits_columns_without_room(evolve: Evolve) -> None:
    wide = shown(200, "runs", "--runs", SAMPLES, TZ="CET-1")
    assert " ".join(wide[0].split()) == "name task status rounds nodes best to record tokens $ started (CET)"
    narrow = shown(80, "runs", "--runs", SAMPLES, TZ="CET-1")
    assert max(map(len, narrow)) <= 80
    assert narrow[0].split()[:1] == ["name"]
    assert "best" in narrow[0].split()
    assert not [line for line in narrow if "circle_packing" in line and "…" in line]
    assert len(narrow) == len(wide)
    # Output that is not a terminal gets everything.
    assert evolve("runs", "--runs", SAMPLES, TZ="CET-1").out.splitlines() == wide
    # The table shows local time, as the application does; JSON shows UTC.
    newest = evolve("runs", "--runs", SAMPLES, "--json").json[0]
    utc = calendar.timegm(time.strptime(newest["started"], "%Y-%m-%dT%H:%M:%SZ"))
    assert wide[1].endswith(time.strftime("%Y-%m-%d %H:%M", time.gmtime(utc + 3600)))


def test_summaries_of_tasks_wrap_without_losing_words() -> None:
    lines = shown(60, "tasks")
    assert max(map(len, lines)) <= 60
    words = " ".join(" ".join(lines).split())
    for folder in builtin_tasks():
        assert all(word in words for word in load_task(folder).spec.summary.split())


@pytest.mark.parametrize("columns", [80, 100])
def test_no_line_of_table_exceeds_terminal(columns: int) -> None:
    for words in (
        ["show", SAMPLES / "circle_packing_steered"],
        ["compare", *sorted(SAMPLES.glob("circle*_l*"))[:1] * 2],
        # Ranked by fitness: two numbers instead of one.
        ["show", SAMPLES / "linear_attention_recombine"],
        ["compare", *[SAMPLES / "linear_attention_recombine"] * 2],
    ):
        lines = shown(columns, *words)
        for start, line in enumerate(lines):
            if line.startswith(("node ", "name ")):
                assert max(map(len, lines[start : start + 3])) <= columns, lines


def test_text_without_room_beside_other_columns_goes_below(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    why = "words #1, meaning #2, and a third reason to be told"
    print_table(["id", "title", "why"], [["low-discrepancy", "Low-discrepancy", why]], wrap=True)
    head, _, row, *below = capsys.readouterr().out.splitlines()
    assert (head.split(), row.split()) == (["id", "title"], ["low-discrepancy", "Low-discrepancy"])
    assert " ".join(line.strip() for line in below) == why
    assert max(map(len, below)) <= 40


def test_progress_prints_one_line_per_node(make_task: TaskMaker, tmp_path: Path) -> None:
    recipe = f"# {'A long title of a prior ' * 4}\n\n```python recipe\ndef left():\n    return 2.9\n```\n"
    task = make_task(priors={"long.md": recipe})
    lines = shown(80, "run", task, "--headless", "--rounds", 6, "--runs", tmp_path / "runs")
    nodes = [line for line in lines if " rounds  #" in line]
    assert len(nodes) == 7
    assert max(map(len, nodes)) <= 80
    assert any("…" in line for line in nodes)


def test_round_without_a_known_price_costs_an_unknown_sum() -> None:
    from engine.cli.calls import _dollars
    from engine.runs.calls import RoundCalls

    found = [_dollars(RoundCalls(1, usd=usd, unpriced=unpriced)) for usd, unpriced in ((0.0, 2), (0.5, 1), (0.5, 0))]
    assert found == ["?", "0.5000+", "0.5000"]
