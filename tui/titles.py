"""What each binding does, in words for the palette, and the purpose under which the help lists it."""

from __future__ import annotations

from textual.binding import Binding

__all__ = ["by_purpose", "is_move", "purpose_of", "title_of"]

_TITLES = {
    "app.help": "Show the help",
    "app.jump": "Jump to another part of the screen",
    "app.log": "Show this program's log",
    "app.quit": "Quit; the run goes on",
    "app.settings": "Change colours, signs, bell and keys",
    "calls.back": "Go back",
    "calls.open": "Open call",
    "compare.axis": "Align by another axis",
    "compare.back": "Go back to the runs",
    "compare.curves": "Show curves",
    "compare.figures": "Show figures",
    "compare.programs": "Show the best programs",
    "compare.read": "Read the runs again",
    "compare.settings": "Show settings that differ",
    "compare.tab": "Go to the next tab",
    "compare.tab_before": "Go to the tab before",
    "editor.discard": "Discard unsaved changes",
    "editor.editor": "Continue in $EDITOR",
    "editor.leave": "Leave the prior; keep a draft",
    "editor.preview": "Show text or preview",
    "editor.save": "Save a new revision",
    "history.back": "Go back to the priors",
    "history.base": "Compare with another revision",
    "history.revert": "Revert to this revision",
    "ideas.back": "Go back",
    "ideas.filter": "Filter ideas",
    "ideas.kept": "Show only ideas that were kept, or not kept",
    "ideas.open": "Open the idea's node",
    "ideas.tab": "Show what each kind of idea gained",
    "ideas.tab_before": "Go to the tab before",
    "live.back": "Go back",
    "live.digest": "Tell what happened since you left",
    "live.enlarge": "Enlarge panel, or show all again",
    "live.ideas": "Open the log of ideas",
    "live.fork": "Start a new run from here",
    "live.machines": "Show the machines that evaluations run on",
    "live.money": "Show money and models, and the forecast",
    "live.panel": "Show the next panel",
    "live.priors": "Open priors",
    "live.replay": "Replay the run",
    "live.settings": "Show and change the settings of the run",
    "live.writing": "Watch models write, open calls",
    "machines.back": "Go back to the run",
    "money.back": "Go back to the run",
    "node.after": "Go to the next node in the tree",
    "node.back": "Go back to the population",
    "node.base": "Compare node with another node",
    "node.before": "Go to the node above in the tree",
    "node.best": "Go to the best node",
    "node.calls": "Show the node's calls of models",
    "node.child": "Go to the best child",
    "node.code": "Show the node's code",
    "node.comment": "Comment on node",
    "node.copy": "Copy node's program",
    "node.diff": "Show the node's diff",
    "node.edit": "Edit node's program, then inject it",
    "node.logs": "Show the node's logs",
    "node.metrics": "Show the node's metrics",
    "node.note": "Show the node's note",
    "node.now_found": "Show the priors that fit the node now",
    "node.parent": "Go to the parent",
    "node.pin": "Pin or unpin node",
    "node.priors": "Show the node's priors",
    "node.prune": "Prune or restore node",
    "node.prune_all": "Prune or restore node and its descendants",
    "node.rerun": "Measure node again",
    "node.save": "Save node's program to a file",
    "node.star": "Star or unstar node",
    "node.tab": "Go to the next page of the node",
    "node.tab_before": "Go to the page of the node before",
    "marked.back": "Go back",
    "marked.beside": "Show two programs beside each other",
    "marked.unmark": "Take the marks away",
    "node.beside": "Show the diff in two columns or one",
    "node.compare": "Compare the marked nodes",
    "node.mark": "Mark node to compare it",
    "node.next_base": "Compare node with best, seed, marked, parent",
    "notes.copy": "Copy note",
    "notes.filter": "Show only notes of one kind",
    "notes.node": "Go to the note's node",
    "notes.open": "Read note",
    "priors.accept": "Accept proposal",
    "priors.add": "Write a new prior",
    "priors.all": "Show removed and rejected priors too",
    "priors.back": "Go back",
    "priors.draft": "Continue the newest draft",
    "priors.edit": "Edit prior",
    "priors.editor": "Edit prior in $EDITOR",
    "priors.filter": "Filter priors",
    "priors.for_node": "Show the priors that fit a node",
    "priors.history": "Show the prior's revisions",
    "priors.recorded": "Show priors as the run recorded them",
    "priors.reject": "Reject proposal",
    "priors.remove": "Remove prior",
    "priors.restore": "Restore prior",
    "priors.search": "Search priors",
    "priors.sort": "Sort priors",
    "priors.tab": "Show the prior's text, or its origin and use",
    "priors.toggle": "Switch prior on or off",
    "priors.weight": "Set the prior's weight",
    "reading.back": "Go back",
    "recorded.back": "Go back",
    "recorded.copy": "Copy these priors into a base of mine",
    "replay.act": "Go to the next act of a person",
    "replay.act_back": "Go to the act of a person before",
    "replay.best": "Go to the next improvement",
    "replay.best_back": "Go to the improvement before",
    "replay.event": "Go one event on",
    "replay.event_back": "Go one event back",
    "replay.faster": "Play faster",
    "replay.now": "Show the run as it is now",
    "replay.play": "Play or stop",
    "replay.round": "Go one round on",
    "replay.round_back": "Go one round back",
    "replay.seek": "Go to an event, a share, a round",
    "replay.slower": "Play slower",
    "run.arm": "Pause at the next best, or after a round",
    "run.hint": "Give a hint to the next designs",
    "run.inject": "Inject a program from a file",
    "run.pause": "Pause run",
    "run.pause_now": "Pause run and freeze evaluations",
    "run.resume": "Resume run",
    "run.step": "Let one round go to its end",
    "run.stop": "Stop run",
    "run.undo": "Undo the last act: star, pin, pruning, comment, hint, setting",
    "runs.archive": "Archive run, or list it again",
    "runs.archived": "Show archived runs too, or hide them",
    "runs.attach": "Open run",
    "runs.compare": "Compare the marked runs",
    "runs.delete": "Delete run",
    "runs.back": "Show all runs again",
    "runs.filter": "Search runs by words, tags, status",
    "runs.mark": "Mark run",
    "runs.priors": "Open the priors of the run's task",
    "runs.rename": "Rename run",
    "runs.replay": "Replay run",
    "runs.start": "Start a new run",
    "runs.tag": "Change the run's tags",
    "setting.back": "Go back",
    "setting.change": "Change setting",
    "settings.back": "Go back",
    "settings.before": "Use the value before",
    "settings.change": "Use the next value",
    "settings.edit": "Open config.toml in $EDITOR",
    "table.csv": "Write the rows as CSV",
    "table.reverse": "Sort the table the other way",
    "table.switch": "Switch between tree and table",
    "tree.best": "Go to the best node",
    "tree.before": "Go to the match before",
    "tree.filter": "Filter nodes",
    "tree.fold": "Fold or unfold node",
    "tree.fold_all": "Fold all but the best line",
    "tree.follow": "Follow the newest or the best node",
    "tree.into": "Go to the first child",
    "tree.next": "Go to the next match",
    "tree.open": "Open node",
    "tree.order": "Change the order of nodes",
    "tree.out": "Go to the parent",
    "tree.search": "Search nodes",
    "writing.back": "Go back to the population",
    "writing.calls": "List all calls",
    "writing.follow": "Follow the end of the text",
    "writing.next": "Show another model's text",
}

_MOVES = frozenset(
    ("editor.end", "editor.start", "history.down", "history.left", "history.right", "history.up", "priors.down",
     "notes.left", "notes.right", "recorded.down", "recorded.up", "priors.left", "priors.right", "priors.up")
)  # fmt: skip
_SCREENS = frozenset(
    (
        "app.help",
        "app.log",
        "app.settings",
        "live.digest",
        "live.machines",
        "live.ideas",
        "live.money",
        "live.priors",
        "live.replay",
        "live.settings",
        "live.writing",
    )
)
_PURPOSES = {
    "tree": "Nodes: look around", "node": "The node under the cursor", "run": "Steer the run", "replay": "Replay",
    "priors": "Priors", "history": "Revisions", "editor": "Text", "conflict": "Conflict", "compare": "Comparison",
    "calls": "Calls", "writing": "Writing", "runs": "Runs", "settings": "Settings", "setting": "Settings",
    "plot": "Plot", "ideas": "Ideas", "marked": "Comparison", "recorded": "Priors",
    "table": "Nodes: look around", "notes": "Notes",
}  # fmt: skip
_LAST = ("Panels", "Move", "Other screens", "Leave")


def is_move(id_: str) -> bool:
    """Return whether a binding only moves a cursor or a text, so that nobody looks for it by name."""
    return id_.startswith(("rows.", "text.")) or id_ in _MOVES


def title_of(binding: Binding) -> str:
    """Return what a binding does, as a short command."""
    return _TITLES.get(binding.id or "", binding.description)


def purpose_of(id_: str) -> str:
    """Return the heading under which the help lists a binding."""
    area, _, name = id_.partition(".")
    if name in ("back", "quit", "interrupt", "leave"):
        return "Leave"
    if is_move(id_):
        return "Move"
    if id_ in _SCREENS:
        return "Other screens"
    if id_ in ("live.panel", "live.enlarge", "app.jump"):
        return "Panels"
    if area == "live":
        return "Steer the run"
    return _PURPOSES.get(area, area.capitalize())


def by_purpose(ids: list[str]) -> list[tuple[str, list[str]]]:
    """Return ids under their headings, in the order of their first appearance; what every screen has comes last."""
    groups: dict[str, list[str]] = {}
    for id_ in ids:
        groups.setdefault(purpose_of(id_), []).append(id_)
    return sorted(groups.items(), key=lambda item: _LAST.index(item[0]) + 1 if item[0] in _LAST else 0)
