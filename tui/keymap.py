"""Binding ids: what a keymap in config.toml may name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from textual.binding import Binding
from textual.dom import DOMNode

__all__ = ["unknown_ids"]


def unknown_ids(ids: Iterable[str]) -> list[str]:
    """Return the ids that no binding has. Call it only if there is a keymap: it imports every screen."""
    import tui.screens
    import tui.widgets

    for package in (tui.screens, tui.widgets):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    return sorted(set(ids) - _known(DOMNode))


def _known(kind: type[DOMNode]) -> set[str]:
    own = {binding.id for binding in kind.BINDINGS if isinstance(binding, Binding) and binding.id}
    return own.union(*map(_known, kind.__subclasses__()))
