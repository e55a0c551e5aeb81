"""What people may ask of a running engine, and how it answers: each command ends as an event and an answer."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from engine.errors import EvolveError, UsageError
from engine.journal.events import (
    CommandDone,
    Data,
    EvalStageDone,
    Injected,
    NodeCommented,
    NodePinned,
    NodePruned,
    NodeRerun,
    NodeRestored,
    NodeStarred,
    NodeUnpinned,
    RunResumed,
    SettingsChanged,
)  # fmt: skip
from engine.journal.reader import Command, sha256_of
from engine.loop.stages.experiment import crown_fittest
from engine.programs.outline import ProgramError, check_program, outline
from engine.settings.decode import convert_table, deep_merge
from engine.settings.fitness import fitness_of
from engine.settings.model import Settings, check_whole

if TYPE_CHECKING:
    from engine.loop.engine import Engine
    from engine.state.node import Node
    from engine.state.run_state import RunState

__all__ = ["HINT_UNREAD", "WAITS", "answer_command", "check_fitness", "check_set"]

WAITS = "no model has answered; they are asked again now"
"""How the answer to `resume` begins where the run waits for a model."""

HINT_READ = "the next designs are shown it"
HINT_UNREAD = "the designer of this run, recombine, reads no hints: it only steers which priors the next rounds find"
"""Answers to a hint, by what the designer does with it."""

_MEANT_FOR_NOW = {"pause", "resume", "step", "stop"}
"""Commands that make no sense to a later engine; the others are kept for it."""

Effects = list[tuple[Data, int | None]]
"""Events, each with the node that it is about."""
Answer = tuple[Effects, str]
"""What a command brings about, and what the person is told."""

_FIXED = ("designer.name", "designer.bandit", "devices", "seed")
"""Settings that are read once, when the engine starts."""


def answer_command(engine: Engine, command: Command) -> None:
    """Carry a command out and record the answer with its effects in one transaction."""
    handler = _HANDLERS.get(command.kind)
    try:
        if handler is None:
            raise UsageError(f"this engine knows no command '{command.kind}'")
        if command.kind in _MEANT_FOR_NOW and command.id <= engine.last_command:
            raise UsageError("the engine it was meant for had ended")
        effects, result = handler(engine, command.data)
        ok = True
    except EvolveError as exc:
        effects, result, ok = [], str(exc), False
    done = CommandDone(command=command.id, name=command.kind, ok=ok, result=result)
    engine.emit_all([*effects, (done, None)], answer=(command.id, result if ok else f"refused: {result}"))
    for data, node in effects:
        if isinstance(data, NodeRerun) and node is not None:
            engine.rerun(node)
        elif isinstance(data, SettingsChanged):
            if "fitness" in data.settings:
                crown_fittest(engine)
            if not data.settings.keys().isdisjoint(("models", "roles")):
                engine.caller.troubles.retry()


def check_set(settings: Settings, change: dict[str, Any]) -> Settings:
    """The settings with a change on top.

    Raises:
        UsageError: a key is unknown, a value does not fit, or the setting cannot change during a run.
    """
    import msgspec

    merged = convert_table(deep_merge(msgspec.to_builtins(settings), change), Settings, "set", UsageError)
    fixed = [path for path in _FIXED if attrgetter(path)(merged) != attrgetter(path)(settings)]
    if fixed:
        raise UsageError(f"set: {', '.join(fixed)} cannot change during a run")
    check_whole(merged)
    return merged


def _pause(engine: Engine, data: dict[str, Any]) -> Answer:
    now = data.get("now") is True
    if (engine.gate.held_by("person") or engine.gate.held_by("designer")) and (engine.state.frozen or not now):
        return [], "it is paused already"
    engine.gate.pause()
    if now:
        for evaluation in engine.running.values():
            evaluation.freeze()
    running = len(engine.running)
    what = ("stands still" if running == 1 else "stand still") if now else "finish" + "es" * (running == 1) + " first"
    return [(engine.gate.paused_event(now), None)], f"paused; {_count(running)} {what}" if running else "paused"


def _count(evaluations: int) -> str:
    return "1 evaluation" if evaluations == 1 else f"{evaluations} evaluations"


def _resume(engine: Engine, data: dict[str, Any]) -> Answer:
    if engine.gate.stopping:
        raise UsageError("it is stopping")
    silence = engine.caller.troubles.reason
    if not engine.gate.paused:
        return [], "it is not paused"
    engine.caller.troubles.retry()
    if not (engine.gate.held_by("person") or engine.gate.held_by("designer")):
        return [], f"{WAITS}: {silence}"
    if engine.state.frozen:
        for evaluation in engine.running.values():
            evaluation.thaw()
    engine.gate.resume()
    engine.gate.resume("designer")
    engine.resumed()
    if silence:
        return [(RunResumed(), None), (engine.gate.paused_event(now=False), None)], f"{WAITS}: {silence}"
    return [(RunResumed(), None)], "resumed"


def _step(engine: Engine, data: dict[str, Any]) -> Answer:
    if not engine.gate.paused:
        raise UsageError("only a paused run can be stepped", "Pause it first")
    if engine.state.frozen:
        raise UsageError("its evaluations are frozen", "Resume it first")
    return [], engine.step()


def _stop(engine: Engine, data: dict[str, Any]) -> Answer:
    now = data.get("now") is True
    running = len(engine.running)
    reason = data.get("reason")
    engine.stop(reason if isinstance(reason, str) and reason else "stopped by hand", now)
    return (
        [],
        "stopping" if now or not running else f"stopping; {_count(running)} finish{'es' if running == 1 else ''} first",
    )


def _set(engine: Engine, data: dict[str, Any]) -> Answer:
    change = data.get("settings")
    if not isinstance(change, dict):
        raise UsageError("set: nothing to set")
    before = engine.state.settings
    after = check_set(before, change)
    if after.fitness != before.fitness:
        check_fitness(engine.state, after)
    told = [f"{path} = {_value(after, path)} (was {_value(before, path)})" for path in _leaves(change)]
    return [(SettingsChanged(change), None)], ", ".join(told)


def check_fitness(state: RunState, settings: Settings) -> None:
    """Raise UsageError for weights of what was never measured: nothing would be ranked."""
    spec, best = state.spec, state.best_node
    if spec is None or best is None:
        return
    seed = state.nodes[0]
    measured, baseline = ({**node.metrics, spec.metric: node.score} for node in (best, seed))
    if fitness_of(settings.fitness, spec.metric, spec.direction, measured, baseline, best.judge) is None:
        known = [name for name in measured if name in baseline]
        judged = "it was judged" if best.judge is not None else "nobody judged it"
        raise UsageError(
            f"set: the best node, {best.id}, lacks a part of that fitness",
            f"It and the baseline have {', '.join(known)}; {judged}",
        )


def _value(settings: Settings, path: str) -> Any:
    value: Any = settings
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
    return value


def _leaves(table: dict[str, Any]) -> list[str]:
    """The dotted keys of what a nested table sets."""
    found = []
    for key, value in table.items():
        found += [f"{key}.{below}" for below in _leaves(value)] if isinstance(value, dict) else [key]
    return found


def _node(engine: Engine, data: dict[str, Any]) -> Node:
    """The node that a command names."""
    number = data.get("node")
    nodes = engine.state.nodes
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(nodes):
        raise UsageError(f"there is no node {number!r}; the nodes are 0 to {len(nodes) - 1}")
    return nodes[number]


def _text(data: dict[str, Any], key: str) -> str:
    text = data.get(key)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{key}: there is nothing in it")
    return text


def _pin(engine: Engine, data: dict[str, Any]) -> Answer:
    node = _node(engine, data)
    if node.score is None:
        raise UsageError(f"node {node.id} has no score, so that nothing can be designed from it")
    if node.pruned:
        raise UsageError(f"node {node.id} is pruned", "Restore it first")
    return ([], "it is pinned already") if node.pinned else ([(NodePinned(), node.id)], f"node {node.id} is pinned")


def _unpin(engine: Engine, data: dict[str, Any]) -> Answer:
    node = _node(engine, data)
    return ([(NodeUnpinned(), node.id)], f"node {node.id} is unpinned") if node.pinned else ([], "it is not pinned")


def _prune(engine: Engine, data: dict[str, Any]) -> Answer:
    node = _node(engine, data)
    chosen = _subtree(engine, node) if data.get("subtree") is True else [node]
    changed = [other for other in chosen if not other.pruned]
    if not changed:
        return [], "it is pruned already"
    effects: Effects = [(NodeUnpinned(), other.id) for other in changed if other.pinned]
    lost = f"; no longer pinned: {', '.join(str(node) for _, node in effects)}" if effects else ""
    effects += [(NodePruned(), other.id) for other in changed]
    return effects, _told(changed, "pruned: never a parent again, until restored") + lost


def _restore(engine: Engine, data: dict[str, Any]) -> Answer:
    node = _node(engine, data)
    chosen = _subtree(engine, node) if data.get("subtree") is True else [node]
    changed = [other for other in chosen if other.pruned]
    return [(NodeRestored(), other.id) for other in changed], _told(
        changed, "restored"
    ) if changed else "it is not pruned"


def _subtree(engine: Engine, root: Node) -> list[Node]:
    """A node and all that descends from it by first parents."""
    inside = {root.id}
    found = [root]
    # A parent always comes before its children.
    for node in engine.state.nodes[root.id + 1 :]:
        if node.parents and node.parents[0] in inside:
            inside.add(node.id)
            found.append(node)
    return found


def _told(nodes: list[Node], what: str) -> str:
    return f"node {nodes[0].id} is {what}" if len(nodes) == 1 else f"{len(nodes)} nodes are {what}"


def _star(engine: Engine, data: dict[str, Any]) -> Answer:
    node = _node(engine, data)
    starred = data.get("starred") is not False
    what = "starred" if starred else "no longer starred"
    return [(NodeStarred(starred), node.id)], f"node {node.id} is {what}"


def _comment(engine: Engine, data: dict[str, Any]) -> Answer:
    node = None if data.get("node") is None else _node(engine, data)
    return [(NodeCommented(_text(data, "text")), None if node is None else node.id)], "noted"


def _inject(engine: Engine, data: dict[str, Any]) -> Answer:
    what = data.get("what")
    if what == "hint":
        told = HINT_READ if engine.designer.reads_hints else HINT_UNREAD
        return [(Injected("hint", text=_text(data, "text").strip()), None)], told
    if what != "program":
        raise UsageError("inject: give a program or a hint")
    code = _text(data, "code")
    parent = None if data.get("parent") is None else _node(engine, {"node": data["parent"]}).id
    try:
        digest = check_program(code, engine.spec).digest
    except ProgramError as exc:
        raise UsageError(f"{exc.check}: {exc.reason}") from None
    twin = engine.state.digests.get(digest)
    if twin is not None:
        raise UsageError(f"duplicate: the program is the same as node {twin}", "'rerun' measures it again")
    if any(outline(engine.text(other.program)).digest == digest for other in engine.state.injected.values()):
        raise UsageError("duplicate: the program waits for its round already")
    name = data.get("name")
    injected = Injected(
        "program",
        text=str(data.get("text") or ""),
        program=sha256_of(code),
        name=name.strip() if isinstance(name, str) and name.strip() else "injected",
        parent=parent,
    )
    engine.keep(code.encode())
    number = engine.state.rounds_started + len(engine.state.injected) + 1
    if number > engine.state.settings.rounds:
        return [(injected, None)], f"it waits: all {engine.state.settings.rounds} rounds are given away; raise rounds"
    return [(injected, None)], f"it takes round {number}"


def _rerun(engine: Engine, data: dict[str, Any]) -> Answer:
    node = _node(engine, data)
    if node.id in engine.state.evaluations:
        raise UsageError(f"node {node.id} is being measured")
    stage = engine.spec.score_stage
    repeats = [
        event.data.repeat
        for event in engine.past_of(node.id)
        if isinstance(event.data, EvalStageDone) and event.data.stage == stage.name
    ]
    repeat = max(repeats, default=-1) + 1
    when = " when the run goes on" if engine.gate.paused else ""
    return [(NodeRerun(repeat), node.id)], f"node {node.id} is measured once more{when}"


_HANDLERS: dict[str, Callable[[Engine, dict[str, Any]], Answer]] = {
    "pause": _pause,
    "resume": _resume,
    "step": _step,
    "stop": _stop,
    "set": _set,
    "pin": _pin,
    "unpin": _unpin,
    "prune": _prune,
    "restore": _restore,
    "star": _star,
    "comment": _comment,
    "inject": _inject,
    "rerun": _rerun,
}
