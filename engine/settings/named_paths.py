"""Paths that a person names: interpreters that tasks may use, and folders that may be mounted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.settings.decode import convert_table, read_toml
from engine.workspace import workspace

__all__ = ["name_interpreter", "named_interpreters", "named_mounts"]


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
    """Return the interpreters that a person named, as absolute paths: `[interpreters] paths` of the workspace's
    config.toml, and those given with `--python`.

    Raises:
        UsageError: config.toml holds something else there.
    """
    return [*_expand(_read().interpreters), *_given()]


def name_interpreter(path: str) -> None:
    """Remember an interpreter that a person gave with `--python`, so that a later resume may start it too.

    Args:
        path: absolute.

    Raises:
        UsageError: the workspace cannot be written.
    """
    if path in _given():
        return
    record = _record()
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{path}\n")
    except OSError as exc:
        raise UsageError(f"{record} cannot be written: {exc.strerror}") from None


def _record() -> Path:
    return workspace() / "trust" / "interpreters"


def _given() -> list[str]:
    try:
        return _record().read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


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
