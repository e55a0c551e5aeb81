"""Paths that a person names in config.toml: interpreters that tasks may use, and folders that may be mounted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.settings.decode import convert_table, read_toml
from engine.workspace import workspace

__all__ = ["named_interpreters", "named_mounts"]


class _Paths(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for path in self.paths:
            if not path.startswith(("/", "~/")):
                raise ValueError(f"a path starts with / or ~/, and '{path}' does not")


class _File(msgspec.Struct):
    interpreters: _Paths = _Paths()
    mounts: _Paths = _Paths()


def named_interpreters() -> list[str]:
    """Return the interpreters that `[interpreters] paths` of the workspace's config.toml names, as absolute paths.

    Raises:
        UsageError: config.toml holds something else there.
    """
    return _expand(_read().interpreters)


def named_mounts() -> list[str]:
    """Return the folders that `[mounts] paths` of the workspace's config.toml names, as absolute paths.

    Raises:
        UsageError: config.toml holds something else there.
    """
    return _expand(_read().mounts)


def _read() -> _File:
    config = workspace() / "config.toml"
    whole = read_toml(config, UsageError) if config.exists() else {}
    table: dict[str, Any] = {key: whole[key] for key in ("interpreters", "mounts") if key in whole}
    return convert_table(table, _File, str(config), UsageError)


def _expand(named: _Paths) -> list[str]:
    return [os.path.normpath(Path(path).expanduser()) for path in named.paths]
