"""Read `[tui]` in the workspace's config.toml, and change it without touching anything else in the file."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import UsageError
from engine.settings.decode import convert_table, read_toml

__all__ = ["TuiSettings", "read_settings", "save_file", "save_setting"]


class TuiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Look and keys of the terminal application."""

    theme: str = "evolve-dark"
    """`evolve-dark`, `evolve-light` or `ansi-16`, which uses the terminal's own colours."""
    mouse: bool = False
    """Use mouse events; selecting text in the terminal then needs shift or option held down."""
    glyphs: Literal["auto", "unicode", "ascii"] = "auto"
    """Signs to draw with; `auto` uses ASCII if the encoding or tmux's client has no others."""
    bell: bool = False
    """Ring the terminal's bell at a new best and at the end of the run."""
    keymap: dict[str, str] = {}
    """Keys by binding id, separated by commas: `"run.pause" = "p,f5"`. The help screen shows the ids."""
    notify: Literal["off", "osc9", "osc777"] = "off"
    """Have the terminal notify the desktop of a new best and of the end of the run, by the sequence that it knows."""
    pictures: Literal["auto", "kitty", "sixel", "off"] = "auto"
    """How to send pictures; `auto` asks the terminal when it shows the first one, `off` draws them in dots."""


def read_settings(config: Path) -> TuiSettings:
    """Return the settings in a config.toml, the defaults if there is none.

    Raises:
        UsageError: the file is not TOML, or `[tui]` is invalid.
    """
    if not config.exists():
        return TuiSettings()
    return _settings(read_toml(config, UsageError), str(config))


def save_file(config: Path, text: str) -> TuiSettings:
    """Replace the text of a config.toml, and return the settings in it.

    Raises:
        UsageError: the text is not TOML, `[tui]` is invalid, or the file cannot be written; the file is unchanged.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"not kept: {exc}") from None
    settings = _settings(table, "not kept")
    partial = config.with_name(f".{config.name}.new")
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", errors="surrogateescape")
        partial.replace(config)
    except OSError as exc:
        raise UsageError(f"{config} cannot be written: {exc.strerror}") from None
    return settings


def save_setting(config: Path, key: str, value: str | bool) -> TuiSettings:
    """Set one key of `[tui]` and return all settings; keep comments and all other lines.

    Raises:
        UsageError: the file is not TOML, is laid out in a way that this cannot change, or cannot be written.
    """
    try:
        text = config.read_text(encoding="utf-8") if config.exists() else ""
        before = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"config.toml cannot be read: {exc}") from None
    except tomllib.TOMLDecodeError as exc:
        raise UsageError(f"config.toml is not valid TOML: {exc}", "e opens the file") from None
    changed = _set_key(text, key, json.dumps(value))
    table = before.get("tui", {})
    wanted = {**before, "tui": {**table, key: value} if isinstance(table, dict) else {key: value}}
    try:
        fits = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        fits = False
    if not fits:
        raise UsageError(f"'{key}' cannot be changed in the way config.toml is written", "e opens the file")
    return save_file(config, changed)


def _settings(table: dict[str, Any], where: str) -> TuiSettings:
    return convert_table({"tui": table.get("tui", {})}, _File, where, UsageError).tui


def _set_key(text: str, key: str, value: str) -> str:
    """Return the text with a key of `[tui]` set, for common layouts of TOML; the caller checks the result."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    start = next((index for index, line in enumerate(lines) if re.match(r"\s*\[\s*tui\s*\]", line)), None)
    if start is None:
        return "".join([*lines, "\n" if lines else "", "[tui]\n", f"{key} = {value}\n"])
    end = next((index for index in range(start + 1, len(lines)) if re.match(r"\s*\[", lines[index])), len(lines))
    for index in range(start + 1, end):
        found = re.match(rf"(\s*{key}\s*=\s*)(\"[^\"\\]*\"|'[^']*'|[^\s#]+)(.*)$", lines[index].rstrip("\n"))
        if found:
            lines[index] = f"{found[1]}{value}{found[3]}\n"
            return "".join(lines)
    return "".join([*lines[: start + 1], f"{key} = {value}\n", *lines[start + 1 :]])


class _File(msgspec.Struct):
    tui: TuiSettings
