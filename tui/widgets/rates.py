"""The panel of rates and devices: as high as its rows, hidden without any."""

from __future__ import annotations

from collections.abc import Sequence

from tui.model.rates import device_rows, rate_rows
from tui.model.run_model import RunModel
from tui.widgets.painted import Piece
from tui.widgets.panel import Panel

__all__ = ["RatesPanel"]


class RatesPanel(Panel):
    """Rates that evaluations report, and the load of the machine."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[list[Piece]] = []

    def show(self, model: RunModel) -> int:
        """Show a run's figures; return the number of rows, 0 if there is nothing to show."""
        rates = rate_rows(model.state, model.rates)
        self._rows = rates + device_rows(model.state, model.telemetry)
        self.repaint()
        return len(self._rows)

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return one row."""
        return self._rows[y] if y < len(self._rows) else []
