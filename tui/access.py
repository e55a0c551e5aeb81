"""What a person may do in the application: everything in a terminal, less in a browser."""

from __future__ import annotations

from typing import Literal

__all__ = ["Access", "allows"]

Access = Literal["terminal", "steer", "read"]
"""In a terminal; in a browser with the token that lets one steer; in a browser without it."""

_EDITORS = frozenset(("editor.editor", "node.edit", "priors.editor", "settings.edit"))
"""What opens `$EDITOR`, for which a browser has no terminal."""

_READS = frozenset(
    (
        "app.help", "app.interrupt", "app.jump", "app.quit", "ideas.back", "ideas.filter", "ideas.kept", "ideas.open",
        "ideas.tab", "ideas.tab_before", "live.back", "live.digest", "live.enlarge", "live.ideas",
        "live.machines", "live.money", "live.panel", "live.priors", "live.replay", "live.settings",
        "live.writing", "node.after", "node.back", "node.base", "node.before", "node.beside", "node.best",
        "node.calls", "node.child", "node.code", "node.compare", "node.diff", "node.file",
        "node.file_before", "node.logs", "node.mark", "node.metrics", "node.next_base", "node.note",
        "node.now_found", "node.parent", "node.priors", "node.tab", "node.tab_before", "notes.filter",
        "notes.node", "notes.open", "recorded.back", "recorded.down", "recorded.up", "runs.archived",
        "runs.attach", "runs.back", "runs.compare", "runs.filter",
        "runs.mark", "runs.replay", "setting.back", "table.reverse", "table.switch",
    )
)  # fmt: skip
"""Ids of bindings that change nothing: neither the run, nor priors, nor files of this machine."""
_READ_AREAS = ("calls.", "compare.", "jump.", "machines.", "marked.", "money.", "plot.", "reading.", "replay.", "rows.",
               "text.", "tree.", "writing.")  # fmt: skip
"""Areas of which all bindings change nothing."""
_MOVES = frozenset(("notes.left", "notes.right"))


def allows(access: Access, id_: str | None) -> bool:
    """Return whether a binding works. A binding that is not known to change nothing is refused to readers.

    Args:
        access: what the person may do.
        id_: the binding's id; one without an id is Textual's own.
    """
    if access == "terminal":
        return True
    if access == "steer":
        return id_ not in _EDITORS
    return id_ is not None and (id_ in _READS or id_ in _MOVES or id_.startswith(_READ_AREAS))
