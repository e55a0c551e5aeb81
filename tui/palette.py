"""The command palette: every binding that works now, by name, and commands without a key."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.theme import THEMES
from tui.titles import is_move, title_of

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
        """Yield the commands whose name matches the query, after them those whose description does."""
        matcher = self.matcher(query)
        for name, about, act in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), act, help=about)
            elif (score := matcher.match(about)) > 0:
                yield Hit(score / 2, name, act, help=about)

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        screen: Screen[object] = self.screen
        seen: set[str | None] = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            title = title_of(binding)
            if not active.enabled or not binding.id or is_move(binding.id) or binding.id == "app.interrupt":
                continue
            if title in seen or binding.id in seen:
                continue
            seen.update((title, binding.id))
            run = partial(self.app.run_action, binding.action, active.node)
            yield title, f"{self.app.get_key_display(binding)}  {binding.tooltip}", run
        for theme in THEMES:
            if theme != self.app.theme:
                yield (
                    f"Use the colours {theme}",
                    "For this session",
                    partial(setattr, self.app, "theme", theme),
                )
