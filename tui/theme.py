"""Three themes: two whose colours stay distinct in 256 colours, one of the terminal's own sixteen.

No meaning depends on a hue alone: a failure is also a word, the best also a sign.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

__all__ = ["DEFAULT_THEME", "LOOKS", "THEMES", "look_style"]

DEFAULT_THEME = "evolve-dark"

LOOKS = (
    "plain", "dim", "heading", "accent", "ok", "bad", "best", "added", "removed", "hunk", "keyword", "string",
    "comment", "number", "cursor", "bar", "key",
)  # fmt: skip
"""The looks of text; a theme gives each a colour."""


def _theme(name: str, dark: bool, ansi: bool, base: dict[str, str], looks: dict[str, str]) -> Theme:
    return Theme(
        name=name,
        dark=dark,
        ansi=ansi,
        # Textual's stylesheets need further variables of a theme that leaves colours to the terminal.
        variables=(dict(BUILTIN_THEMES["ansi-dark"].variables) if ansi else {})
        | {f"look-{look}": looks.get(look, base["foreground"]) for look in LOOKS}
        | {
            "look-cursor-background": looks["cursor-background"],
            "look-bar-background": looks["bar-background"],
            "look-border": looks["border"],
        },
        **base,  # type: ignore[arg-type]
    )


# Each colour below is one of xterm's 256, so that a terminal with 256 colours shows it unchanged.
_DARK = _theme(
    "evolve-dark",
    True,
    False,
    {
        "primary": "#5fafff", "secondary": "#87afd7", "accent": "#5fd7ff", "warning": "#ffd75f", "error": "#ff8787",
        "success": "#87d787", "foreground": "#d0d0d0", "background": "#121212", "surface": "#1c1c1c",
        "panel": "#262626", "boost": "#262626",
    },
    {
        "dim": "#8a8a8a", "heading": "#ffffff", "accent": "#5fd7ff", "ok": "#87d787", "bad": "#ff8787",
        "best": "#ffd75f", "added": "#87d787", "removed": "#ff8787", "hunk": "#87afff", "keyword": "#d7afff",
        "string": "#afd787", "comment": "#8a8a8a", "number": "#ffaf87", "cursor": "#ffffff", "bar": "#d0d0d0",
        "key": "#5fd7ff", "cursor-background": "#005f87", "bar-background": "#262626", "border": "#4e4e4e",
    },
)  # fmt: skip

_LIGHT = _theme(
    "evolve-light",
    False,
    False,
    {
        "primary": "#005faf", "secondary": "#005f87", "accent": "#005faf", "warning": "#875f00", "error": "#af0000",
        "success": "#005f00", "foreground": "#262626", "background": "#ffffff", "surface": "#eeeeee",
        "panel": "#e4e4e4", "boost": "#e4e4e4",
    },
    {
        "dim": "#6c6c6c", "heading": "#000000", "accent": "#005faf", "ok": "#005f00", "bad": "#af0000",
        "best": "#875f00", "added": "#005f00", "removed": "#af0000", "hunk": "#0000af", "keyword": "#87005f",
        "string": "#5f5f00", "comment": "#6c6c6c", "number": "#af5f00", "cursor": "#000000", "bar": "#262626",
        "key": "#005faf", "cursor-background": "#afd7ff", "bar-background": "#e4e4e4", "border": "#bcbcbc",
    },
)  # fmt: skip

_ANSI = _theme(
    "ansi-16",
    True,
    True,
    {
        "primary": "ansi_blue", "secondary": "ansi_cyan", "accent": "ansi_cyan", "warning": "ansi_yellow",
        "error": "ansi_red", "success": "ansi_green", "foreground": "ansi_default", "background": "ansi_default",
        "surface": "ansi_default", "panel": "ansi_default", "boost": "ansi_default",
    },
    {
        "dim": "ansi_bright_black", "heading": "ansi_default", "accent": "ansi_cyan", "ok": "ansi_green",
        "bad": "ansi_red", "best": "ansi_yellow", "added": "ansi_green", "removed": "ansi_red", "hunk": "ansi_blue",
        "keyword": "ansi_magenta", "string": "ansi_green", "comment": "ansi_bright_black", "number": "ansi_yellow",
        "cursor": "ansi_black", "bar": "ansi_default", "key": "ansi_cyan", "cursor-background": "ansi_cyan",
        "bar-background": "ansi_default", "border": "ansi_bright_black",
    },
)  # fmt: skip

THEMES = {theme.name: theme for theme in (_DARK, _LIGHT, _ANSI)}
"""The themes by their name in `[tui] theme`."""

_BOLD = frozenset(("heading", "best", "cursor", "key"))
_GROUNDS = {"cursor": "look-cursor-background", "bar": "look-bar-background", "key": "look-bar-background"}


def look_style(variables: Mapping[str, str], look: str) -> Style:
    """Return the style of a look in the theme that has these variables.

    A component class for each look of each widget would also work, but Textual would style seventeen nodes for one.
    """
    colour, ground = (
        Color.parse(variables[name]).rich_color for name in (f"look-{look}", _GROUNDS.get(look, "background"))
    )
    return Style(color=colour, bgcolor=ground, bold=look in _BOLD or None)
