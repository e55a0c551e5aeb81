"""What people may ask of a running engine, and how it answers: each command ends as an event and an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.config import convert_table, deep_merge
from engine.errors import EvolveError, UsageError
from engine.events import CommandDone, RunPaused, RunResumed, SettingsChanged
from engine.journal import Command
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.loop import Engine

__all__ = ["answer_command", "check_set"]

_FIXED = {"seed", "sampler", "designer"}
"""Settings that are read once, when the engine starts."""


def answer_command(engine: Engine, command: Command) -> None:
    """Carry a command out and record the answer with its effects in one transaction."""
    handler = _HANDLERS.get(command.kind)
    try:
        if handler is None:
            raise UsageError(f"this engine knows no command '{command.kind}'")
        if command.kind != "set" and command.at < engine.command_horizon:
            raise UsageError("the engine it was meant for had ended")
        events, result = handler(engine, command.data)
        ok = True
    except EvolveError as exc:
        events, result, ok = [], str(exc), False
    done = CommandDone(command=command.id, name=command.kind, ok=ok, result=result)
    engine.emit(*events, done, answer=(command.id, result if ok else f"refused: {result}"))


def check_set(settings: Settings, change: dict[str, Any]) -> Settings:
    """The settings with a change on top.

    Raises:
        UsageError: a key is unknown, a value does not fit, or the setting cannot change during a run.
    """
    import msgspec

    merged = convert_table(deep_merge(msgspec.to_builtins(settings), change), Settings, "set", UsageError)
    fixed = sorted(key for key in _FIXED if getattr(merged, key) != getattr(settings, key))
    if fixed:
        raise UsageError(f"set: {', '.join(fixed)} cannot change during a run")
    return merged


def _pause(engine: Engine, data: dict[str, Any]) -> tuple[list[Any], str]:
    now = data.get("now") is True
    if engine.gate.paused and (engine.state.frozen or not now):
        return [], "it is paused already"
    engine.gate.pause()
    if now:
        for evaluation in engine.running.values():
            evaluation.freeze()
    running = len(engine.running)
    what = "stand still" if now else "finish first"
    return [RunPaused(now=now)], f"paused; {running} evaluations {what}" if running else "paused"


def _resume(engine: Engine, data: dict[str, Any]) -> tuple[list[Any], str]:
    if not engine.gate.paused:
        return [], "it is not paused"
    if engine.state.frozen:
        for evaluation in engine.running.values():
            evaluation.thaw()
    engine.gate.resume()
    return [RunResumed()], "resumed"


def _step(engine: Engine, data: dict[str, Any]) -> tuple[list[Any], str]:
    if not engine.gate.paused:
        raise UsageError("only a paused run can be stepped", "Pause it first")
    if engine.state.frozen:
        raise UsageError("its evaluations are frozen", "Resume it first")
    return [], engine.step()


def _stop(engine: Engine, data: dict[str, Any]) -> tuple[list[Any], str]:
    now = data.get("now") is True
    running = len(engine.running)
    engine.stop("stopped by hand", now)
    return [], "stopping" if now or not running else f"stopping; {running} evaluations finish first"


def _set(engine: Engine, data: dict[str, Any]) -> tuple[list[Any], str]:
    change = data.get("settings")
    if not isinstance(change, dict):
        raise UsageError("set: nothing to set")
    check_set(engine.state.settings, change)
    return [SettingsChanged(change)], "set"


_HANDLERS: dict[str, Callable[[Engine, dict[str, Any]], tuple[list[Any], str]]] = {
    "pause": _pause,
    "resume": _resume,
    "step": _step,
    "stop": _stop,
    "set": _set,
}
