"""Compute the effects of commands on a run: events, and the answer for the person.

Used by the engine, and by the process that gives the command if no engine is at work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from engine.journal.database import sha256_of
from engine.journal.events import (
    EvalStageDone,
    Event,
    Injected,
    NodeCommented,
    NodePinned,
    NodePruned,
    NodeRerun,
    NodeRestored,
    NodeStarred,
    NodeUnpinned,
    PauseArmed,
    SettingsChanged,
    VerifyStarted,
)
from engine.programs.outline import ProgramError
from engine.runs.changes import check_fitness, check_set
from engine.runs.command_kinds import Refusal
from engine.runs.undo import Effects, undo_last
from engine.settings.decode import leaf_paths
from engine.settings.model import Settings, designs_freely
from engine.state.armed import describe_armed
from engine.state.node import Node
from engine.state.run_state import RunState
from engine.task.interface import check_program
from engine.task.spec import TaskSpec

__all__ = ["EFFECTS", "Effects", "Ground", "Outcome"]

_MOST_FRESH = 100


class Outcome(NamedTuple):
    """The effects of a command."""

    effects: Effects
    text: str
    """The answer, for people."""
    code: str = "done"
    """As in `Answer`."""


class Ground(Protocol):
    """The current state of a run."""

    state: RunState

    @property
    def spec(self) -> TaskSpec:
        """The task, as recorded."""
        ...

    @property
    def goes_on(self) -> bool:
        """Whether an engine is at work, or the next one has work without more rounds."""
        ...

    def text(self, sha256: str) -> str:
        """Return a blob as text."""
        ...

    def past_of(self, node: int) -> list[Event]:
        """Return all events about a node, in order."""
        ...

    def keep(self, content: bytes) -> None:
        """Store a blob that the effects name."""
        ...


def _set(run: Ground, data: dict[str, Any]) -> Outcome:
    change = data.get("settings")
    if not change:
        raise Refusal("set: nothing to set")
    before = run.state.settings
    after = check_set(before, change)
    if after.fitness != before.fitness:
        check_fitness(run.state, after)
    paths = leaf_paths(change)
    changes = [f"{'.'.join(path)} = {_value(after, path)} (was {_value(before, path)})" for path in paths]
    return Outcome([(SettingsChanged(change), None)], ", ".join(changes))


def _value(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for key in path:
        value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
    return value


def _arm(run: Ground, data: dict[str, Any]) -> Outcome:
    at, number, state = data.get("at"), data.get("round"), run.state
    if at == "off":
        if state.armed is None:
            return Outcome([], "no pause was to come", "unchanged")
        return Outcome([(PauseArmed(), None)], "it does not pause by itself any more")
    if at == "best":
        wanted = PauseArmed("best")
    elif at != "round" or number is None:
        raise Refusal("arm: say when: at the next 'best', or when a 'round' ends, with its number")
    elif number < 1 or (number <= state.rounds_started and number not in state.open_rounds):
        raise Refusal(f"round {number} has ended" if number > 0 else "rounds begin with 1")
    elif number > state.settings.rounds:
        raise Refusal(f"there will be no round {number}: the run has {state.settings.rounds}", "Raise rounds first")
    else:
        wanted = PauseArmed("round", number)
    if wanted == state.armed:
        return Outcome([], f"it pauses {describe_armed(wanted)} already", "unchanged")
    return Outcome([(wanted, None)], f"it pauses {describe_armed(wanted)}")


def _node(run: Ground, number: int | None) -> Node:
    """Return the node that a command names."""
    nodes = run.state.nodes
    if number is None:
        raise Refusal("no node is named")
    if not nodes:
        raise Refusal(f"there is no node {number}: the run has none yet")
    if not 0 <= number < len(nodes):
        raise Refusal(f"there is no node {number}; the nodes are 0 to {len(nodes) - 1}")
    return nodes[number]


def _text(data: dict[str, Any], key: str, what: str) -> str:
    text: str = data.get(key) or ""
    if not text.strip():
        raise Refusal(f"the {what} is empty")
    return text


def _pin(run: Ground, data: dict[str, Any]) -> Outcome:
    node = _node(run, data.get("node"))
    if node.score is None:
        raise Refusal(f"node {node.id} has no score, so that nothing can be designed from it")
    if node.pruned:
        raise Refusal(f"node {node.id} is pruned", "Restore it first")
    if node.pinned:
        return Outcome([], "it is pinned already", "unchanged")
    return Outcome([(NodePinned(), node.id)], f"node {node.id} is pinned")


def _unpin(run: Ground, data: dict[str, Any]) -> Outcome:
    node = _node(run, data.get("node"))
    if not node.pinned:
        return Outcome([], "it is not pinned", "unchanged")
    return Outcome([(NodeUnpinned(), node.id)], f"node {node.id} is unpinned")


def _prune(run: Ground, data: dict[str, Any]) -> Outcome:
    changed = [node for node in _chosen(run, data) if not node.pruned]
    if not changed:
        return Outcome([], "it is pruned already", "unchanged")
    effects: Effects = [(NodeUnpinned(), node.id) for node in changed if node.pinned]
    lost = f"; no longer pinned: {', '.join(str(node) for _, node in effects)}" if effects else ""
    effects += [(NodePruned(), node.id) for node in changed]
    return Outcome(effects, _describe(changed, "pruned: never a parent again, until restored") + lost)


def _restore(run: Ground, data: dict[str, Any]) -> Outcome:
    changed = [node for node in _chosen(run, data) if node.pruned]
    if not changed:
        return Outcome([], "it is not pruned", "unchanged")
    return Outcome([(NodeRestored(), node.id) for node in changed], _describe(changed, "restored"))


def _chosen(run: Ground, data: dict[str, Any]) -> list[Node]:
    """Return the node that a command names, with `subtree` also its descendants by first parents."""
    root = _node(run, data.get("node"))
    found = [root]
    if data.get("subtree"):
        inside = {root.id}
        # A parent always comes before its children.
        for node in run.state.nodes[root.id + 1 :]:
            if node.parents and node.parents[0] in inside:
                inside.add(node.id)
                found.append(node)
    return found


def _describe(nodes: list[Node], what: str) -> str:
    return f"node {nodes[0].id} is {what}" if len(nodes) == 1 else f"{len(nodes)} nodes are {what}"


def _star(run: Ground, data: dict[str, Any]) -> Outcome:
    node = _node(run, data.get("node"))
    starred = data.get("starred") is not False
    if node.starred == starred:
        return Outcome([], "it is starred already" if starred else "it is not starred", "unchanged")
    what = "starred" if starred else "no longer starred"
    return Outcome([(NodeStarred(starred), node.id)], f"node {node.id} is {what}")


def _comment(run: Ground, data: dict[str, Any]) -> Outcome:
    node = None if data.get("node") is None else _node(run, data["node"]).id
    return Outcome([(NodeCommented(_text(data, "text", "comment")), node)], "noted")


_HINT_READ = "the next designs are shown it"
_HINT_UNREAD = "the designer of this run, recombine, reads no hints: it only steers which priors the next rounds find"


def _inject(run: Ground, data: dict[str, Any]) -> Outcome:
    what = data.get("what")
    if what == "hint":
        hint = Injected("hint", text=_text(data, "text", "hint").strip())
        return Outcome([(hint, None)], _HINT_READ if designs_freely(run.state.settings) else _HINT_UNREAD)
    if what != "program":
        raise Refusal("inject: give a program or a hint")
    code = _text(data, "code", "program")
    parent = None if data.get("parent") is None else _node(run, data["parent"]).id
    _check_program(run, code)
    injected = Injected(
        "program",
        text=data.get("text") or "",
        program=sha256_of(code),
        name=(data.get("name") or "").strip() or "injected",
        parent=parent,
    )
    run.keep(code.encode())
    state = run.state
    number = state.rounds_started + len(state.injected) + 1
    if number > state.settings.rounds:
        return Outcome([(injected, None)], f"it waits: all {state.settings.rounds} rounds are given away; raise rounds")
    return Outcome([(injected, None)], f"it takes round {number}")


def _check_program(run: Ground, code: str) -> None:
    """Raise Refusal for a program that breaks the task's rules or is already in the run."""
    seed = run.text(run.state.nodes[0].program) if run.spec.program.editable and run.state.nodes else ""
    try:
        digest = check_program(code, run.spec, seed).digest
    except ProgramError as exc:
        raise Refusal(f"{exc.check}: {exc.reason}") from None
    twin = run.state.digests.get(digest)
    if twin is not None:
        raise Refusal(f"duplicate: the program is the same as node {twin}", "'rerun' measures it again")
    if any(
        run.spec.language.outline(run.text(other.program)).digest == digest for other in run.state.injected.values()
    ):
        raise Refusal("duplicate: the program waits for its round already")


def _rerun(run: Ground, data: dict[str, Any]) -> Outcome:
    node, state, on = _node(run, data.get("node")), run.state, data.get("on") or ""
    if not run.goes_on:
        raise Refusal("the run is finished, and measures nothing more", code="finished")
    if on and on not in state.cluster:
        there = ", ".join(sorted(state.cluster)) or "none but the engine's own"
        raise Refusal(f"the run has no machine '{on}' to measure on", f"Its machines are: {there}")
    busy = _is_measured(run, node)
    if busy:
        raise Refusal(busy)
    chosen = [node]
    parent = state.nodes[node.parents[0]] if on and node.parents else None
    if parent is not None and parent.machine != node.machine and not _is_measured(run, parent):
        # Both on one machine, so that their scores can be compared.
        chosen.append(parent)
    effects: Effects = [(NodeRerun(_next_repeat(run, one), on), one.id) for one in chosen]
    told = " and ".join(f"node {one.id}" if one is node else f"its parent {one.id}" for one in chosen)
    when = " when the run goes on" if state.status == "paused" else ""
    return Outcome(
        effects, f"{told} {'are' if chosen[1:] else 'is'} measured once more{f' on {on}' if on else ''}{when}"
    )


def _is_measured(run: Ground, node: Node) -> str:
    """Return that a node is being measured already; empty if it is not."""
    state = run.state
    if node.id in state.verifications and not state.verifications[node.id].started.resting:
        return f"node {node.id} is being verified"
    if node.id in state.evaluations:
        return (
            f"node {node.id} is being measured"
            if state.status == "running"
            else f"node {node.id} is measured anyway when the run goes on"
        )
    return ""


def _next_repeat(run: Ground, node: Node) -> int:
    """Return the number of a node's next measurement in the stage that ranks."""
    stage = run.spec.score_stage
    repeats = [
        event.data.repeat
        for event in run.past_of(node.id)
        if isinstance(event.data, EvalStageDone) and event.data.stage == stage.name
    ]
    return max(repeats, default=-1) + 1


def _verify(run: Ground, data: dict[str, Any]) -> Outcome:
    state = run.state
    chosen = state.best if data.get("node") is None else data["node"]
    node, fresh = _node(run, chosen), 3 if data.get("fresh") is None else data["fresh"]
    if not 1 <= fresh <= _MOST_FRESH:
        raise Refusal(f"verify: {fresh} draws cannot be; ask for 1 to {_MOST_FRESH}")
    if node.score is None:
        raise Refusal(f"node {node.id} has no score to verify")
    known = state.verifications.get(node.id)
    if node.id in state.evaluations or (known is not None and not known.started.resting):
        raise Refusal(f"node {node.id} is being measured")
    draws = list(range(state.draws + 1, state.draws + 1 + fresh))
    started = VerifyStarted(draws, reference=0 if node.id else None, asked=True)
    when = " when the run goes on" if state.status == "paused" else ""
    return Outcome([(started, node.id)], f"node {node.id} is measured on fresh data{when}")


def _undo(run: Ground) -> Outcome:
    effects, text = undo_last(run.state)
    return Outcome(effects, text)


EFFECTS: dict[str, Callable[[Ground, dict[str, Any]], Outcome]] = {
    "set": _set,
    "arm": _arm,
    "inject": _inject,
    "rerun": _rerun,
    "verify": _verify,
    "pin": _pin,
    "unpin": _unpin,
    "prune": _prune,
    "restore": _restore,
    "star": _star,
    "comment": _comment,
    "undo": lambda run, data: _undo(run),
}
"""The function of each kind of command; the other kinds act on a live engine only."""
