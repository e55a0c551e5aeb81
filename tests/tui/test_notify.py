"""Notifications of the desktop: what a terminal is sent, once for each event, and nothing unless it is asked for."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.journal.clock import now_ms
from engine.journal.database import connect_writer, insert_event
from engine.runs.folder import lock_run
from tests.tui.conftest import Desk
from tests.tui.synthetic import make_run
from tests.tui.terminal import Terminal
from tests.tui.test_terminal import open_tui
from tui.notify import notify_sequence

__all__ = ["open_tui"]


@given(st.text(), st.text(), st.sampled_from(["osc9", "osc777"]))
def test_nothing_in_a_name_ends_the_sequence(title: str, text: str, kind: Any) -> None:
    sequence = notify_sequence(kind, title, text, in_tmux=False)
    assert sequence.startswith("\x1b]") and sequence.endswith("\x07")
    inside = sequence[2:-1]
    assert (
        not any(unicodedata.category(sign) == "Cc" for sign in inside)
        and inside.count(";") == {"osc9": 1, "osc777": 3}[kind]
    )
    wrapped = notify_sequence(kind, title, text, in_tmux=True)
    assert wrapped == f"\x1bPtmux;\x1b{sequence}\x1b\\"
    assert notify_sequence("off", title, text, in_tmux=False) == ""


@pytest.mark.parametrize("kind", ["off", "osc9"])
def test_terminal_is_sent_a_notification_only_if_it_is_wanted(
    runs: Path, tmp_path: Path, open_tui: Any, kind: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(f'[tui]\nnotify = "{kind}"\n')
    run = make_run(runs / "night", 30)
    with lock_run(run):
        terminal: Terminal = open_tui("night", env={"EVOLVE_HOME": str(home)}, emulate=False)
        terminal.read_until("Population")
        terminal.read_until("row 1 of")
        desk = Desk(run)
        connection = connect_writer(run.db)
        for number, (data, node) in enumerate(
            ((ev.BestCrowned(score=2.6), 3), (ev.RunPaused(reason="a look"), None)), 1
        ):
            insert_event(connection, ev.Event(desk.seq + number, now_ms(), None, node, data))
        connection.commit()
        connection.close()
        terminal.read_until("a look")
    assert terminal.text.count("\x1b]9;night: new best ") == (kind == "osc9")
