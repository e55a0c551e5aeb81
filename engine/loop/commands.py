"""Answer what people ask of an engine: each command ends as events and an answer, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from engine.errors import EvolveError
from engine.journal.database import Command
from engine.journal.events import CommandDone, Data, NodeRerun, RunPaused, SettingsChanged, VerifyStarted
from engine.loop.session import RunSession
from engine.loop.stages.best import crown_fittest
from engine.runs.command_kinds import COMMANDS, Answer, Refusal, check_command, refuse
from engine.runs.effects import EFFECTS, Outcome
from engine.settings.model import designs_by_command

__all__ = ["ACTS", "Commands", "Controls"]


class Controls(Protocol):
    """What commands may do to a run at work; `engine.loop.scheduler.Scheduler` in an engine."""

    @property
    def paused(self) -> bool:
        """Whether no stage starts, for whatever reason."""
        ...

    @property
    def waits_for_person(self) -> bool:
        """Whether a person has paused the run, or must help it on."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether the run is ending."""
        ...

    @property
    def running(self) -> int:
        """How many evaluations run."""
        ...

    @property
    def silence(self) -> str:
        """Why rounds wait for a model; empty if none does."""
        ...

    def pause(self, now: bool) -> RunPaused:
        """Let no further stage start, and with `now` freeze what runs; return the event to record."""

    def resume(self) -> list[Data]:
        """Undo a person's pause; return the events to record."""

    def retry_models(self) -> None:
        """Ask every model again at once."""

    def step(self) -> str:
        """Let one round run to its end although the run is paused; return what happens, for people."""

    def stop(self, reason: str, now: bool) -> None:
        """End the run: running stages finish, or with `now` are ended."""

    def rerun(self, node: int) -> None:
        """Measure a node again; the journal says already that a person asked for it."""

    def verify(self, node: int) -> None:
        """Measure a node on fresh data; the journal says already that a person asked for it."""


class Commands:
    """Carry out commands and record what they bring about.

    Args:
        session: the run.
        controls: act on what runs.
        stale: the newest command at the engine's start; it and those before it were meant for an engine that is gone.
    """

    def __init__(self, session: RunSession, controls: Controls, stale: int = 0) -> None:
        self._session, self._controls, self._stale = session, controls, stale

    def answer(self, command: Command) -> None:
        """Carry a command out and record the answer with its effects; what is refused has no effect."""
        session = self._session
        try:
            check_command(command.kind, command.data)
            if COMMANDS[command.kind].when_no_engine == "refuse" and command.id <= self._stale:
                raise Refusal("the engine it was meant for had ended", code="ended")
            act = ACTS.get(command.kind)
            outcome = EFFECTS[command.kind](session, command.data) if act is None else act(self, command.data)
            answer = Answer(True, outcome.code, outcome.text)
        except EvolveError as exc:
            outcome, answer = Outcome([], ""), refuse(exc)
        done = CommandDone(command.id, command.kind, answer.ok, answer.text, answer.code)
        # Programs read the event; the row says the same to people.
        result = answer.text if answer.ok else f"refused: {answer.text}"
        session.emit_all([*outcome.effects, (done, None)], answer=(command.id, result))
        for data, node in outcome.effects:
            if isinstance(data, NodeRerun) and node is not None:
                self._controls.rerun(node)
            elif isinstance(data, VerifyStarted) and node is not None:
                self._controls.verify(node)
            elif isinstance(data, SettingsChanged):
                self._apply_settings(data)

    def _apply_settings(self, changed: SettingsChanged) -> None:
        if "fitness" in changed.settings:
            crown_fittest(self._session)
        if not changed.settings.keys().isdisjoint(("models", "roles")):
            self._controls.retry_models()

    def _pause(self, data: dict[str, Any]) -> Outcome:
        now = data.get("now") is True
        if self._controls.waits_for_person and (self._session.state.frozen or not now):
            return Outcome([], "it is paused already", "unchanged")
        paused = self._controls.pause(now)
        running = self._controls.running
        what = ("stands still" if running == 1 else "stand still") if now else f"{_finish(running)} first"
        return Outcome([(paused, None)], f"paused; {self._count(running)} {what}" if running else "paused")

    def _resume(self, data: dict[str, Any]) -> Outcome:
        controls = self._controls
        if controls.stopping:
            raise Refusal("it is stopping", code="stopping")
        if not controls.paused:
            return Outcome([], "it is not paused", "unchanged")
        silence = controls.silence
        controls.retry_models()
        waits = f"no model has answered; they are asked again now: {silence}"
        if not controls.waits_for_person:
            return Outcome([], waits, "retrying")
        effects: list[tuple[Data, int | None]] = [(event, None) for event in controls.resume()]
        return Outcome(effects, waits, "retrying") if silence else Outcome(effects, "resumed")

    def _step(self, data: dict[str, Any]) -> Outcome:
        if not self._controls.paused:
            raise Refusal("only a paused run can be stepped", "Pause it first")
        if self._session.state.frozen:
            raise Refusal("its evaluations are frozen", "Resume it first")
        return Outcome([], self._controls.step())

    def _stop(self, data: dict[str, Any]) -> Outcome:
        now = data.get("now") is True
        running = self._controls.running
        self._controls.stop(data.get("reason") or "stopped by hand", now)
        first = "" if now or not running else f"; {self._count(running)} {_finish(running)} first"
        return Outcome([], f"stopping{first}")

    def _count(self, running: int) -> str:
        return _count(running, designs_by_command(self._session.state.settings))


ACTS: dict[str, Callable[[Commands, dict[str, Any]], Outcome]] = {
    "pause": Commands._pause,
    "resume": Commands._resume,
    "step": Commands._step,
    "stop": Commands._stop,
}
"""By kind of command, what only a living engine can do."""


def _count(running: int, commands: bool) -> str:
    """Return how many evaluations run; if a command designs, it may be among them."""
    one, several = ("evaluation or command", "evaluations or commands") if commands else ("evaluation", "evaluations")
    return f"1 {one}" if running == 1 else f"{running} {several}"


def _finish(evaluations: int) -> str:
    return "finishes" if evaluations == 1 else "finish"
