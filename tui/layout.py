"""How a user has arranged the view of runs; kept in the workspace."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Layout", "PlotChoice", "read_layout", "save_layout"]

_log = logging.getLogger(__name__)


class PlotChoice(msgspec.Struct):
    """What one plot shows."""

    measure: str = "rank"
    """Id of a quantity of `tui.model.quantities`."""
    axis: Literal["node", "round", "seconds", "usd", "tokens", "objective"] = "node"
    scale: Literal["auto", "linear", "log"] = "auto"


class Layout(msgspec.Struct):
    """The arrangement of the view of a run."""

    panel: str = "plot"
    """The panel that is shown if only one fits."""
    large: str = ""
    """The panel that takes the whole screen, or `tree`; empty if all are shown."""
    plots: list[PlotChoice] = []
    """The plots, from the top; none for the usual one."""


def read_layout(file: Path) -> Layout:
    """Return the layout in a file, the default if there is none or it cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Layout)
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError) as exc:
        _log.warning("%s cannot be read: %s", file, exc)
    return Layout()


def save_layout(file: Path, layout: Layout) -> None:
    """Write the layout; report errors of the disk only in the log, since nothing but a habit is lost."""
    partial = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(layout))
        partial.replace(file)
    except OSError as exc:
        _log.warning("%s cannot be written: %s", file, exc.strerror)
