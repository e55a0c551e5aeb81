"""The command palette: every binding that works now, by name, and commands without a key."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.theme import THEMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

__all__ = ["ActionProvider"]


class ActionProvider(Provider):
    """Commands of the screen as it is now; it offers none that cannot be run."""

    async def discover(self) -> Hits:
        """Yield all commands."""
        for name, about, act in self._commands():
            yield DiscoveryHit(name, act, help=about)

    async def search(self, query: str) -> Hits:
        """Yield the commands that match the query."""
        matcher = self.matcher(query)
        for name, about, act in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), act, help=about)

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        screen: Screen[object] = self.screen
        seen = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if not active.enabled or not binding.id or binding.id in seen or binding.id.startswith(("rows.", "text.")):
                continue
            seen.add(binding.id)
            area = binding.id.partition(".")[0]
            run = partial(self.app.run_action, binding.action, active.node)
            yield f"{area}: {binding.description.lower()}", binding.tooltip, run
        for theme in THEMES:
            if theme != self.app.theme:
                yield (
                    f"theme: {theme}",
                    "Change the colours for this session",
                    partial(setattr, self.app, "theme", theme),
                )
