"""A standstill in the application: the status line and the notes."""

from __future__ import annotations

import pytest

from engine.journal import events as ev
from tests.tui.test_model import model_of
from tui.model.run_model import RunModel
from tui.model.status import status_cells

BEGAN = ev.StandstillBegan(24, 20, 0.001)
ACTED = ev.StandstillActed("explore", 10, "not tried before")


def happen(model: RunModel, *data: ev.Data) -> set[str]:
    parts: set[str] = set()
    for item in data:
        parts |= set(model.apply(ev.Event(model.state.seq + 1, model.state.at, None, model.state.best, item)))
    return parts


@pytest.mark.parametrize("vain", [0, 14])
def test_status_line_says_that_a_run_stands_still(monkeypatch: pytest.MonkeyPatch, vain: int) -> None:
    monkeypatch.setattr("tui.model.status.in_vain", lambda state: {"refused": vain} if vain else {})
    model = model_of(60)

    def line(width: int) -> str:
        cells = status_cells("run", model, "running", "", "", model.state.at + 5000, width)
        assert sum(cell.width for cell in cells) <= width
        assert all(len(cell.text) < cell.width for cell in cells if cell.text.startswith("still"))
        return " ".join(cell.text for cell in cells)

    assert "still" not in line(120)
    assert "status" in happen(model, BEGAN)
    waited = model.state.standstill.waited
    for width in range(80, 200, 7):
        assert f"still {waited}" in line(width) and "best" in line(width)
        assert not vain or "14" in line(width)
    assert "explore" not in line(120)
    happen(model, ACTED)
    assert "explore" not in line(120), "the settings ask for no action"
    happen(model, ev.SettingsChanged({"standstill": {"action": "act"}}))
    assert f"still {waited} explore" in line(120)
    happen(model, ev.SettingsChanged({"standstill": {"action": "off"}}))
    assert "still" not in line(120)


def test_notes_tell_when_it_began_what_is_tried_and_when_it_ended() -> None:
    model = model_of(60)
    known = len(model.notes)
    assert "notes" in happen(model, BEGAN, ACTED, ev.StandstillEnded(31, 0.25, "explore"))
    best = model.state.best
    assert [(note.kind, note.text) for note in model.notes[known:]] == [
        ("run", "stands still: no gain in 24 evaluations, of which 20 make a standstill"),
        (
            "run",
            "against the standstill, in half of 10 rounds: parents are drawn almost evenly (not tried before)",
        ),
        ("run", f"out of the standstill after 31 evaluations: #{best} +0.25, under 'explore'"),
    ]
