"""Digests: what a part of a run brought, counted from its events and told in words."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.errors import UsageError
from engine.journal import events as ev
from engine.runs.digest import describe_digest, describe_span, digest_run, parse_since
from engine.runs.folder import Run, lock_run
from engine.runs.seen import last_seen, mark_seen
from tests.tui.synthetic import add_events, make_run

ROOT = Path(__file__).parents[2]
RUN = Run(ROOT / "sample_runs" / "circle_packing_mixed")


def test_digest_of_a_whole_run_equals_its_state() -> None:
    found, state = digest_run(RUN, None)
    assert (found.rounds, found.nodes) == (state.rounds_done, len(state.nodes)) and found.best_before is None
    assert sum(found.failures.values()) == sum(n for status, n in state.counts.items() if status != "ok")
    assert found.tokens == state.tokens and found.best_node == state.best and found.ended.startswith("finished")
    assert found.improvements == len(state.best_steps)


def test_parts_of_a_run_add_up_to_the_whole() -> None:
    whole, state = digest_run(RUN, None)
    middle = (whole.since + whole.until) // 2
    late, _ = digest_run(RUN, middle)
    assert 0 < late.rounds < whole.rounds and late.best_before is not None and late.tokens < whole.tokens
    nothing, _ = digest_run(RUN, whole.until)
    assert nothing.rounds == nothing.nodes == 0 and nothing.best == whole.best
    lines = describe_digest(late, "sum_radii")
    assert lines[0].startswith(f"best sum_radii {late.best_before:.6g} → {late.best:.6g} by #{state.best}")
    assert describe_digest(nothing, "sum_radii")[0].endswith("unchanged")


def test_pauses_for_one_endpoint_are_told_with_its_address(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", 1)
    reason = "no model answers: m: http://127.0.0.1:80/v1 fails"
    add_events(run, *((ev.RunPaused(reason=f"{reason} ({status})"), None) for status in (500, 503)))
    found, _ = digest_run(run, None)
    assert found.pauses == {f"{reason} (…)": 2}


def test_times_are_read_as_people_write_them() -> None:
    now = int(time.mktime((2026, 11, 29, 5, 0, 0, 0, 0, -1)) * 1000)
    assert parse_since("3h", now) == now - 3 * 3_600_000 and parse_since("90 m", now) == now - 5_400_000
    assert parse_since("04:30", now) == now - 1_800_000 and parse_since("05:30", now) == now - 84_600_000
    assert parse_since("2026-11-29 02:00", now) == now - 3 * 3_600_000
    with pytest.raises(UsageError, match="no time"):
        parse_since("yesterday", now)
    assert [describe_span(ms) for ms in (5_000, 300_000, 11_400_000, 187_200_000)] == [
        "5 s", "5 min", "3 h 10 min", "2 d 4 h",
    ]  # fmt: skip


def test_commands_tell_what_happened_and_how_it_stands(tmp_path: Path) -> None:
    import engine.cli.digest  # noqa: F401
    from engine.cli.app import app

    runner = CliRunner()
    assert last_seen(RUN) is None
    told = runner.invoke(app, ["digest", str(RUN.folder)]).output
    assert "since its start" in told and "24 rounds, 19 nodes" in told
    mark_seen(RUN)
    told = runner.invoke(app, ["digest", str(RUN.folder)]).output
    assert "since you left" in told and "unchanged" in told
    entry = json.loads(runner.invoke(app, ["digest", str(RUN.folder), "--since", "9999d", "--json"]).output)
    assert entry["digest"]["rounds"] == 24 and entry["status"] == "finished"
    line = runner.invoke(app, ["status", str(RUN.folder)]).output
    assert line == "circle_packing_mixed  ■ finished  24/24  sum_radii 2.51097 #16  39 in vain\n"
    nothing = runner.invoke(app, ["status", "--runs", str(tmp_path)])
    assert (nothing.exit_code, nothing.output) == (1, "")


def test_status_of_a_dead_run_does_not_count_others_as_its_own(tmp_path: Path) -> None:
    import engine.cli.digest
    import engine.cli.run_list  # noqa: F401
    from engine.cli.app import app

    runner, where = CliRunner(), ["--runs", str(tmp_path)]
    make_run(tmp_path / "dead", 3)
    with lock_run(make_run(tmp_path / "live", 3)):
        # The newest that is not archived is meant.
        for archived, told in (("live", "✗ dead  "), ("dead", "● running  ")):
            for name, off in ((archived, []), ({"live": "dead", "dead": "live"}[archived], ["--off"])):
                assert runner.invoke(app, ["archive", name, *off, *where]).exit_code == 0
            line = runner.invoke(app, ["status", *where]).output
            assert told in line and line.endswith("  1 other run at work\n") == (archived == "live")
