"""Machines: those that evaluations run on."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.model.document import Line
from tui.model.machines import machines_lines
from tui.model.run_model import RunModel
from tui.screens.model_lines import ModelLinesScreen

__all__ = ["MachinesScreen"]


class MachinesScreen(ModelLinesScreen):
    """The machines of a run, as they come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="machines.back", tooltip="Back to the run"),
    ]

    title_ = "Machines"
    about = (
        "The machines that evaluations of the run use, if they run on a cluster: how many fit onto each, how many run\n"
        "there now, its cores and GPUs, how many results came from it, and how many evaluations were lost on it."
    )

    def lines(self, model: RunModel) -> list[Line]:
        """Return the table of machines."""
        return machines_lines(model.state)
