"""How an engine answers what people ask: each command ends as events and an answer, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.errors import EvolveError
from engine.journal.events import CommandDone, NodeRerun, RunResumed, SettingsChanged
from engine.journal.reader import Command
from engine.loop.stages.best import crown_fittest
from engine.runs.command_kinds import COMMANDS, Answer, Refusal, check_command, refuse
from engine.runs.effects import EFFECTS, Outcome

if TYPE_CHECKING:
    from engine.loop.engine import Engine

__all__ = ["answer_command"]


def answer_command(engine: Engine, command: Command) -> None:
    """Carry a command out and record the answer with its effects."""
    try:
        check_command(command.kind, command.data)
        if COMMANDS[command.kind].when_no_engine == "refuse" and command.id <= engine.session.last_command:
            raise Refusal("the engine it was meant for had ended", code="ended")
        act = _ACTS.get(command.kind)
        outcome = EFFECTS[command.kind](engine.session, command.data) if act is None else act(engine, command.data)
        answer = Answer(True, outcome.code, outcome.text)
    except EvolveError as exc:
        outcome, answer = Outcome([], ""), refuse(exc)
    done = CommandDone(command.id, command.kind, answer.ok, answer.text, answer.code)
    # Programs read the event; the row says the same to people.
    result = answer.text if answer.ok else f"refused: {answer.text}"
    engine.session.emit_all([*outcome.effects, (done, None)], answer=(command.id, result))
    for data, node in outcome.effects:
        if isinstance(data, NodeRerun) and node is not None:
            engine.rerun(node)
        elif isinstance(data, SettingsChanged):
            if "fitness" in data.settings:
                crown_fittest(engine.session)
            if not data.settings.keys().isdisjoint(("models", "roles")):
                engine.failover.retry()


def _pause(engine: Engine, data: dict[str, Any]) -> Outcome:
    now = data.get("now") is True
    if (engine.gate.held_by("person") or engine.gate.held_by("designer")) and (engine.session.state.frozen or not now):
        return Outcome([], "it is paused already", "unchanged")
    engine.gate.pause()
    if now:
        engine.evaluations.freeze()
    running = len(engine.evaluations)
    what = ("stands still" if running == 1 else "stand still") if now else "finish" + "es" * (running == 1) + " first"
    told = f"paused; {_count(running)} {what}" if running else "paused"
    return Outcome([(engine.gate.paused_event(now), None)], told)


def _count(evaluations: int) -> str:
    return "1 evaluation" if evaluations == 1 else f"{evaluations} evaluations"


def _resume(engine: Engine, data: dict[str, Any]) -> Outcome:
    if engine.gate.stopping:
        raise Refusal("it is stopping", code="stopping")
    silence = engine.failover.reason
    if not engine.gate.paused:
        return Outcome([], "it is not paused", "unchanged")
    engine.failover.retry()
    waits = f"no model has answered; they are asked again now: {silence}"
    if not (engine.gate.held_by("person") or engine.gate.held_by("designer")):
        return Outcome([], waits, "retrying")
    if engine.session.state.frozen:
        engine.evaluations.thaw()
    engine.gate.resume()
    engine.gate.resume("designer")
    engine.resumed()
    if silence:
        return Outcome([(RunResumed(), None), (engine.gate.paused_event(now=False), None)], waits, "retrying")
    return Outcome([(RunResumed(), None)], "resumed")


def _step(engine: Engine, data: dict[str, Any]) -> Outcome:
    if not engine.gate.paused:
        raise Refusal("only a paused run can be stepped", "Pause it first")
    if engine.session.state.frozen:
        raise Refusal("its evaluations are frozen", "Resume it first")
    return Outcome([], engine.step())


def _stop(engine: Engine, data: dict[str, Any]) -> Outcome:
    now = data.get("now") is True
    running = len(engine.evaluations)
    engine.stop(data.get("reason") or "stopped by hand", now)
    first = "" if now or not running else f"; {_count(running)} finish{'es' if running == 1 else ''} first"
    return Outcome([], f"stopping{first}")


_ACTS: dict[str, Callable[[Engine, dict[str, Any]], Outcome]] = {
    "pause": _pause,
    "resume": _resume,
    "step": _step,
    "stop": _stop,
}
"""By kind of command, what only a living engine can do."""
