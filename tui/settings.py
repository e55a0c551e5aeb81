"""`[tui]` in the workspace's config.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.config import convert_table, read_toml
from engine.errors import UsageError

__all__ = ["TuiSettings", "read_settings"]


class TuiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the terminal application looks and is operated."""

    theme: str = "evolve-dark"
    """`evolve-dark`, `evolve-light` or `ansi-16`, which takes the terminal's own colours."""
    mouse: bool = False
    """Take mouse events; the terminal's own selection then needs shift or option held down."""
    glyphs: Literal["auto", "unicode", "ascii"] = "auto"
    """Signs to draw with; `auto` takes ASCII where tmux says that its client shows no others."""
    keymap: dict[str, str] = {}
    """Binding id to keys, divided by commas: `"run.pause" = "p,f5"`. The help screen shows the ids."""


def read_settings(config: Path) -> TuiSettings:
    """The settings in a config.toml; the defaults where there is none.

    Raises:
        UsageError: the file is no TOML, or `[tui]` holds what cannot be.
    """
    if not config.exists():
        return TuiSettings()
    table: dict[str, Any] = read_toml(config, UsageError).get("tui", {})
    return convert_table({"tui": table}, _File, str(config), UsageError).tui


class _File(msgspec.Struct):
    tui: TuiSettings
