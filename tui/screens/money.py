"""Money and models: what each cost and gained, and the forecast."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.model.document import Line
from tui.model.money import money_lines
from tui.model.run_model import RunModel
from tui.screens.model_lines import ModelLinesScreen

__all__ = ["MoneyScreen"]


class MoneyScreen(ModelLinesScreen):
    """The sums of a run, as they grow."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="money.back", tooltip="Back to the run"),
    ]

    title_ = "Money and models"
    about = (
        "What each model and operator of the run cost and gained: calls, those in flight now, errors, tokens and the\n"
        "share of the prompts that the endpoint had cached, dollars; and when each limit is reached at this pace."
    )

    def lines(self, model: RunModel) -> list[Line]:
        """Return the sums and the forecast."""
        return money_lines(model, self.size.width - 2)
