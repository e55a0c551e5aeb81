"""Keys that act on a run and on the chosen node. Live screens hold `Steering`; replays refuse the same keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from engine.runs.command_kinds import COMMANDS, Answer, read_moment
from engine.state.node import Node
from engine.text import one_line
from tui import acts
from tui.model.run_model import has_mark
from tui.screens.area import ActionArea
from tui.screens.dialogs import Confirm, Prompt, check_number, check_words
from tui.screens.programs import ProgramActions
from tui.session import Session

__all__ = ["NoSteering", "Steering", "live_actions", "replay_actions"]

Chosen = Callable[[], Node | None]
"""Return the node that is acted on."""

_KINDS = {
    "pause": "pause", "pause_now": "pause", "resume": "resume", "step": "step", "stop": "stop", "hint": "inject",
    "program": "inject", "arm": "arm",
}  # fmt: skip
"""Actions on the run as a whole, with the kind of their command."""


class Steering(ActionArea):
    """Acts on a run and on the chosen node. Nothing is shown as done before the run's journal says so.

    Args:
        session: the run.
        chosen: return the node that is acted on.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", id="run.pause", tooltip="Running stages finish, none starts"),
        Binding("p", "resume", "Resume", id="run.resume", tooltip="Resume; starts an engine if there is none"),
        Binding(
            "P", "pause_now", "Freeze", id="run.pause_now", show=False, tooltip="Pause, and freeze evaluations at once"
        ),
        Binding(
            "A", "arm", "Pause at", id="run.arm", show=False, tooltip="Pause at the next new best, or when a round ends"
        ),
        Binding("s", "step", "Step", id="run.step", tooltip="Let one round run to its end"),
        Binding("S", "stop", "Stop", id="run.stop", show=False, tooltip="End the run; it can be resumed"),
        Binding("i", "hint(True)", "Hint", id="run.hint", tooltip="Tell the next designs an idea"),
        # Without an engine a hint waits for the next one, and the footer has more urgent keys to show.
        Binding(
            "i",
            "hint(False)",
            "Hint",
            id="run.hint",
            show=False,
            tooltip="Tell the designs after the next start an idea",
        ),
        Binding(
            "U", "undo", "Undo", id="run.undo", show=False, tooltip="Take back the last star, pin, comment, setting …"
        ),
        Binding("I", "program", "Inject", id="run.inject", show=False, tooltip="Add a program from a file to the run"),
        Binding(
            "exclamation_mark",
            "pin",
            "Pin",
            id="node.pin",
            key_display="!",
            show=False,
            tooltip="Use it as parent until unpinned; or unpin",
        ),
        Binding(
            "x",
            "prune",
            "Prune",
            id="node.prune",
            show=False,
            tooltip="Never sample it again; or restore it",
        ),
        Binding(
            "X",
            "prune_all",
            "Prune all",
            id="node.prune_all",
            show=False,
            tooltip="Prune it and its descendants; or restore them",
        ),
        Binding(
            "asterisk",
            "star",
            "Star",
            id="node.star",
            key_display="*",
            show=False,
            tooltip="Star it, or unstar it",
        ),
        Binding("c", "comment", "Comment", id="node.comment", show=False, tooltip="Write a comment on the node"),
        Binding("r", "rerun", "Rerun", id="node.rerun", show=False, tooltip="Measure the node again"),
    ]

    def __init__(self, session: Session, chosen: Chosen) -> None:
        super().__init__()
        self._session = session
        self._chosen = chosen

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the actions that the run's status allows; None refuses a key with a reason."""
        kind, status = _KINDS.get(action), self._session.status
        if kind is None:
            return True
        at_work = status in ("running", "paused")
        if action == "pause":
            return status == "running"
        if action == "resume":
            return status not in ("running", "opening")
        if action == "hint" and parameters[0] != (at_work or status == "opening"):
            return False
        if COMMANDS[kind].when_no_engine == "refuse" and not at_work:
            return None
        if action == "step":
            return status == "paused" or None
        return status != "opening" or None

    def on_key(self, event: events.Key) -> None:
        """Say why a disabled key does nothing now."""
        active = self.screen.active_bindings.get(event.key)
        if active is None or active.enabled or active.node is not self:
            return
        status = self._session.status
        if status == "opening":
            self.say("reading the run…", "best")
        elif status == "running":
            self.say(f"only a paused run can be stepped; {self._key('run.pause')} pauses it", "best")
        else:
            more = "gives it more rounds" if status == "finished" else "starts one"
            self.say(f"no engine is at work, the run is {status}; {self._key('run.resume')} {more}", "best")

    def _key(self, id_: str) -> str:
        """Return the key of a binding, empty if it does not work now."""
        found = (active.binding for active in self.screen.active_bindings.values() if active.binding.id == id_)
        return next(map(self.app.get_key_display, found), "")

    # Acts on the run

    def ask(self, kind: str, data: dict[str, Any] | None = None) -> None:
        """Give the run a command, from a thread; an engine answers it by an event."""
        session, given, key = self._session, data or {}, self._key("run.resume")

        def work() -> None:
            try:
                handed = acts.ask(session.run, kind, given, key)
            except EvolveError as exc:
                self.app.call_from_thread(self.say_error, exc)
                return
            if isinstance(handed, Answer):
                session.feed.wake()
                self.app.call_from_thread(session.answered, kind, handed)
            else:
                self.app.call_from_thread(session.sent, handed, kind, given)

        self.in_thread(work)

    def action_pause(self) -> None:
        """Pause the run."""
        self.ask("pause")

    def action_pause_now(self) -> None:
        """Pause the run and freeze its evaluations."""
        self.ask("pause", {"now": True})

    def action_arm(self) -> None:
        """Ask when to pause, and have the run do so."""
        model = self._session.model
        armed = model.state.armed if model is not None else None
        value = "" if armed is None else armed.at if armed.at == "best" else str(armed.round)
        self.app.push_screen(
            Prompt(
                "Pause later, at:",
                value,
                "best: at the next new best; 50: when round 50 ends; empty: not any more",
                check=read_moment,
            ),
            lambda text: self.ask("arm", read_moment(text)) if text is not None else None,
        )

    def action_step(self) -> None:
        """Run one round."""
        self.ask("step")

    def action_stop(self) -> None:
        """Ask, then stop the run."""
        question = f"Stop '{self._session.run.name}'? Running evaluations finish first. It can be resumed."
        self.app.push_screen(Confirm(question), lambda yes: self.ask("stop") if yes else None)

    def action_resume(self) -> None:
        """Resume a paused run, or start an engine."""
        status, model = self._session.status, self._session.model
        state = model.state if model is not None else None
        if status == "paused":
            self.ask("resume")
        elif state is not None and (
            status == "finished" or (status == "stopped" and state.rounds_done >= state.settings.rounds)
        ):
            rounds = state.settings.rounds
            self.app.push_screen(
                Prompt(f"The run is {status}. Rounds in all, now {rounds}:", str(rounds + 50), check=check_number),
                self._raise_rounds,
            )
        else:
            self._start({})

    def _raise_rounds(self, answer: str | None) -> None:
        if answer is not None and answer.strip():
            self._start({"rounds": int(answer)})

    def _start(self, settings: dict[str, Any]) -> None:
        run = self._session.run
        self._session.set_starting(True)

        def work() -> None:
            try:
                acts.set_and_start(run, settings)
            except EvolveError as exc:
                self.app.call_from_thread(self._session.set_starting, False)
                self.app.call_from_thread(self._not_started, exc, settings)

        self.in_thread(work)

    def _not_started(self, error: EvolveError, settings: dict[str, Any]) -> None:
        """Ask whether a run from elsewhere may go on here, or show what went wrong."""
        review = acts.to_agree(error)
        if review is None:
            self.say_error(error)
        else:
            from tui.screens.trust import ask_for_trust

            ask_for_trust(self.app, review, lambda: self._start(settings), self._not_agreed)

    def _not_agreed(self, error: EvolveError | None) -> None:
        if error is None:
            self.say("nothing of it was run", "dim")
        else:
            self.say_error(error)

    def action_undo(self) -> None:
        """Take back the last act on the run."""
        self.ask("undo")

    def action_hint(self, at_work: bool) -> None:
        """Ask for a hint, and inject it; `at_work`: an engine reads it now."""
        self.app.push_screen(
            Prompt("A hint for the next designs:", check=check_words),
            lambda text: self.ask("inject", {"what": "hint", "text": text.strip()}) if text else None,
        )

    def action_program(self) -> None:
        """Ask for a file, and inject the program in it."""
        read: list[dict[str, Any]] = []

        def act(name: str) -> None:
            path = acts.path_of(name)
            read.append({"what": "program", "code": acts.read_text(path), "name": path.stem})

        self.app.push_screen(
            Prompt("A program to inject, its file:", hint="path of a file", check=check_words, act=act),
            lambda name: self.ask("inject", read[-1]) if name is not None else None,
        )

    # Acts on the chosen node

    def action_pin(self) -> None:
        """Pin or unpin the node."""
        self._toggle("pinned", "pin", "unpin")

    def action_prune(self) -> None:
        """Prune or restore the node."""
        self._toggle("pruned", "prune", "restore")

    def action_prune_all(self) -> None:
        """Ask, then prune the node with its descendants, or restore them."""
        node, model = self._chosen(), self._session.model
        if node is None or model is None:
            return
        kind = "restore" if node.pruned else "prune"
        below = model.forest.descendants.get(node.id, 0)
        self.app.push_screen(
            Confirm(f"{kind.capitalize()} #{node.id} and its {below:,} descendants?"),
            lambda yes: self.ask(kind, {"node": node.id, "subtree": True}) if yes else None,
        )

    def _toggle(self, mark: str, on: str, off: str) -> None:
        node = self._chosen()
        if node is not None:
            self.ask(off if has_mark(node, mark) else on, {"node": node.id})

    def action_star(self) -> None:
        """Star or unstar the node."""
        node = self._chosen()
        if node is not None:
            self.ask("star", {"node": node.id, "starred": not has_mark(node, "starred")})

    def action_comment(self) -> None:
        """Ask for a comment on the node, or on the run if there is no node."""
        node = self._chosen()
        about = f"#{node.id} {one_line(node.name, 40)}" if node is not None else "the run"
        data = {"node": node.id if node is not None else None}
        self.app.push_screen(
            Prompt(f"Comment on {about}:", check=check_words),
            lambda text: self.ask("comment", {**data, "text": text.strip()}) if text else None,
        )

    def action_rerun(self) -> None:
        """Ask, then measure the node again."""
        node = self._chosen()
        if node is not None and self._session.status == "finished":
            # Nothing to confirm: the answer gives the reason for refusing.
            self.ask("rerun", {"node": node.id})
        elif node is not None:
            self.app.push_screen(
                Confirm(f"Measure #{node.id} {one_line(node.name, 40)} again? It takes one evaluation."),
                lambda yes: self.ask("rerun", {"node": node.id}) if yes else None,
            )

    def inject(self, node: Node, code: str) -> None:
        """Inject a program that a user made from a node."""
        name = f"{one_line(node.name, 40)} by hand"
        self.ask("inject", {"what": "program", "code": code, "name": name, "parent": node.id})


class NoSteering(ActionArea):
    """Refuses every key of `Steering` with a reason: a replay cannot steer the run."""

    BINDINGS: ClassVar[list[BindingType]] = Steering.BINDINGS

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Refuse all actions. Of the two on one key leave only one, so that its refusal is shown."""
        return False if action == "resume" else None

    def on_key(self, event: events.Key) -> None:
        """Say why the key does nothing."""
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.node is self:
            self.say("A replay cannot steer the run. In the population, T shows the live run", "best")


@contextmanager
def live_actions(session: Session, chosen: Chosen) -> Iterator[None]:
    """Compose what follows inside the keys that act on a live run."""
    steering = Steering(session, chosen)
    with steering, ProgramActions(session, chosen, steering.inject):
        yield


@contextmanager
def replay_actions(session: Session, chosen: Chosen) -> Iterator[None]:
    """Compose what follows inside the keys that act on a recorded run: those on programs only."""
    with NoSteering(), ProgramActions(session, chosen):
        yield
