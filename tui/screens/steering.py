"""What can be asked of a run and of a node, the same on every screen that shows one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from engine.runs.command_kinds import Answer
from engine.state.node import Node
from engine.text import one_line
from tui import acts
from tui.clipboard import keep_copy
from tui.editor import edit_text
from tui.model.run_model import has_mark
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Confirm, Prompt, check_number, check_words
from tui.session import Session

__all__ = ["SteeringScreen"]


_ASKING = {
    "pause", "resume", "pause_now", "step", "stop", "hint", "program", "pin", "prune", "prune_all", "star", "comment",
    "rerun",
}  # fmt: skip
"""Actions that ask something of the run."""


_POSSIBLE = {"running": ("pause_now", "stop"), "paused": ("pause_now", "step", "stop")}
"""What only an engine can do, by how the run stands."""


class SteeringScreen(BaseScreen):
    """A screen on a run, perhaps with a node chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", id="run.pause", tooltip="Running stages finish, none starts"),
        Binding("p", "resume", "Resume", id="run.resume", tooltip="Go on; starts an engine if there is none"),
        Binding(
            "P", "pause_now", "Freeze", id="run.pause_now", show=False, tooltip="Pause, and freeze evaluations at once"
        ),
        Binding("s", "step", "Step", id="run.step", tooltip="Let one round run to its end"),
        Binding("S", "stop", "Stop", id="run.stop", show=False, tooltip="End the run; it can be resumed"),
        Binding("i", "hint(True)", "Hint", id="run.hint", tooltip="Tell the next designs something"),
        # Without an engine it waits for the next one, and the footer has more urgent things to offer.
        Binding(
            "i",
            "hint(False)",
            "Hint",
            id="run.hint",
            show=False,
            tooltip="Tell the designs after the next start something",
        ),
        Binding("I", "program", "Inject", id="run.inject", show=False, tooltip="Give the run a program from a file"),
        Binding("e", "edit", "Edit", id="node.edit", tooltip="Open the program in $EDITOR, then inject it"),
        Binding(
            "exclamation_mark",
            "pin",
            "Pin",
            id="node.pin",
            key_display="!",
            show=False,
            tooltip="Take it as parent until unpinned; or unpin",
        ),
        Binding(
            "x",
            "prune",
            "Prune",
            id="node.prune",
            show=False,
            tooltip="Do not sample it any more; or restore it",
        ),
        Binding(
            "X", "prune_all", "Prune all", id="node.prune_all", show=False, tooltip="Prune it and what descends from it"
        ),
        Binding(
            "asterisk",
            "star",
            "Star",
            id="node.star",
            key_display="*",
            show=False,
            tooltip="Mark it, or take the mark away",
        ),
        Binding("c", "comment", "Comment", id="node.comment", show=False, tooltip="Write something about the node"),
        Binding("r", "rerun", "Rerun", id="node.rerun", show=False, tooltip="Measure the node again"),
        Binding("y", "copy", "Copy", id="node.copy", show=False, tooltip="Copy the program"),
        Binding("w", "save", "Save", id="node.save", show=False, tooltip="Write the program to a file"),
    ]

    session: Session

    @property
    def node(self) -> Node | None:
        """The node that is acted on."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done as the run stands."""
        status = self.session.status
        if self.session.is_replay and action in _ASKING:
            # Of two actions on one key only one may be left, so that its refusal is told.
            return None if action != "resume" else False
        if action == "pause":
            return status == "running"
        if action == "resume":
            return status not in ("running", "opening")
        if action in ("pause_now", "step", "stop"):
            # None: it is refused with a word, which silence would not be.
            return action in _POSSIBLE.get(status, ()) or None
        if action == "hint" and parameters[0] != (status in ("running", "paused", "opening")):
            return False
        if action in ("hint", "program"):
            return status != "opening" or None
        return True

    def on_key(self, event: events.Key) -> None:
        """Say why what acts on the run does nothing now."""
        active = self.active_bindings.get(event.key)
        if active is None or active.enabled or not active.binding.id:
            return
        status = self.session.status
        if self.session.is_replay:
            self.say("A replay asks nothing of the run. In the population, T goes to the run itself", "best")
        elif status == "opening":
            self.say("reading the run…", "best")
        elif status == "running":
            self.say(f"only a paused run can be stepped; {self._key('run.pause')} pauses it", "best")
        else:
            more = "gives it more rounds" if status == "finished" else "starts one"
            self.say(f"no engine is at work, the run is {status}; {self._key('run.resume')} {more}", "best")

    def _key(self, id_: str) -> str:
        """The key of a binding that works now."""
        found = (active.binding for active in self.active_bindings.values() if active.binding.id == id_)
        return next(map(self.app.get_key_display, found), "")

    # Asking

    def ask(self, kind: str, data: dict[str, Any] | None = None) -> None:
        """Ask something of the run from a thread; the answer of an engine is an event."""
        session, given, key = self.session, data or {}, self._key("run.resume")

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

    def in_thread(self, work: Callable[[], None]) -> None:
        """Do what waits for the disk or for a process."""
        self.run_worker(work, thread=True, group="acts", exit_on_error=False)

    def action_pause(self) -> None:
        """Pause."""
        self.ask("pause")

    def action_pause_now(self) -> None:
        """Pause and freeze."""
        self.ask("pause", {"now": True})

    def action_step(self) -> None:
        """Step."""
        self.ask("step")

    def action_stop(self) -> None:
        """Stop, after a question."""
        question = f"Stop '{self.session.run.name}'? Running evaluations finish first. It can be resumed."
        self.app.push_screen(Confirm(question), lambda yes: self.ask("stop") if yes else None)

    def action_resume(self) -> None:
        """Unpause, or start an engine."""
        status, model = self.session.status, self.session.model
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
        run = self.session.run
        self.session.set_starting(True)

        def work() -> None:
            try:
                acts.set_and_start(run, settings)
            except EvolveError as exc:
                self.app.call_from_thread(self.session.set_starting, False)
                self.app.call_from_thread(self.say_error, exc)

        self.in_thread(work)

    def action_hint(self, at_work: bool) -> None:
        """Inject a hint; `at_work`: an engine hears it now."""
        self.app.push_screen(
            Prompt("A hint for the next designs:", check=check_words),
            lambda text: self.ask("inject", {"what": "hint", "text": text.strip()}) if text else None,
        )

    def action_program(self) -> None:
        """Inject a program from a file."""
        read: list[dict[str, Any]] = []

        def act(name: str) -> None:
            path = acts.path_of(name)
            read.append({"what": "program", "code": acts.read_text(path), "name": path.stem})

        self.app.push_screen(
            Prompt("A program to inject, its file:", hint="path of a Python file", check=check_words, act=act),
            lambda name: self.ask("inject", read[-1]) if name is not None else None,
        )

    # Nodes

    def action_pin(self) -> None:
        """Pin or unpin."""
        self._toggle("pinned", "pin", "unpin")

    def action_prune(self) -> None:
        """Prune or restore."""
        self._toggle("pruned", "prune", "restore")

    def action_prune_all(self) -> None:
        """Prune the node with all that descends from it, or restore them, after a question."""
        node, model = self.node, self.session.model
        if node is None or model is None:
            return
        kind = "restore" if node.pruned else "prune"
        below = model.population.descendants.get(node.id, 0)
        self.app.push_screen(
            Confirm(f"{kind.capitalize()} #{node.id} and the {below:,} nodes that descend from it?"),
            lambda yes: self.ask(kind, {"node": node.id, "subtree": True}) if yes else None,
        )

    def _toggle(self, mark: str, on: str, off: str) -> None:
        node = self.node
        if node is not None:
            self.ask(off if has_mark(node, mark) else on, {"node": node.id})

    def action_star(self) -> None:
        """Star or take the star away."""
        node = self.node
        if node is not None:
            self.ask("star", {"node": node.id, "starred": not has_mark(node, "starred")})

    def action_comment(self) -> None:
        """Comment on the node, or on the run where there is none."""
        node = self.node
        about = f"#{node.id} {one_line(node.name, 40)}" if node is not None else "the run"
        data = {"node": node.id if node is not None else None}
        self.app.push_screen(
            Prompt(f"Comment on {about}:", check=check_words),
            lambda text: self.ask("comment", {**data, "text": text.strip()}) if text else None,
        )

    def action_rerun(self) -> None:
        """Measure again."""
        node = self.node
        if node is not None and self.session.status == "finished":
            # Nothing to confirm: the answer says why not.
            self.ask("rerun", {"node": node.id})
        elif node is not None:
            self.app.push_screen(
                Confirm(f"Measure #{node.id} {one_line(node.name, 40)} again? It takes one evaluation."),
                lambda yes: self.ask("rerun", {"node": node.id}) if yes else None,
            )

    def with_program(self, use: Callable[[Node, str], None]) -> None:
        """Read the node's program in a thread, then use it here."""
        node, run = self.node, self.session.run
        if node is None:
            return

        def work() -> None:
            try:
                code = acts.program_of(run, node.program)
            except EvolveError as exc:
                self.app.call_from_thread(self.say_error, exc)
            else:
                self.app.call_from_thread(use, node, code)

        self.in_thread(work)

    def action_copy(self) -> None:
        """Copy the program."""
        self.with_program(self._copy)

    def _copy(self, node: Node, code: str) -> None:
        self.app.copy_to_clipboard(code)
        folder = self.navigator.cache

        def work() -> None:
            said = keep_copy(code, folder)
            self.app.call_from_thread(self.say, f"#{node.id}: {said}", "accent", 8.0)

        self.in_thread(work)

    def action_save(self) -> None:
        """Save the program to a file."""
        node = self.node
        if node is not None:
            run, program = self.session.run, node.program

            def act(name: str) -> None:
                acts.save_text(acts.program_of(run, program), acts.path_of(name))

            self.app.push_screen(
                Prompt(
                    f"Save #{node.id} as:", str(Path.cwd() / f"{run.name}-{node.id}.py"), check=check_words, act=act
                ),
                lambda name: self.say(f"#{node.id} is saved in {name.strip()}") if name is not None else None,
            )

    def action_edit(self) -> None:
        """Open the program in the person's editor."""
        self.with_program(self._edit)

    def _edit(self, node: Node, code: str) -> None:
        try:
            changed = edit_text(self.app, self.navigator.guard, code, f"node-{node.id}.py")
        except EvolveError as exc:
            self.say_error(exc)
            return
        if changed is None:
            return
        if self.session.is_replay:
            self._keep_edited(changed, node)
            return
        name = f"{one_line(node.name, 40)} by hand"
        self.app.push_screen(
            Confirm(f"Inject the edited program as a new node? It was made from #{node.id}."),
            lambda yes: (
                self.ask("inject", {"what": "program", "code": changed, "name": name, "parent": node.id})
                if yes
                else self._keep_edited(changed, node)
            ),
        )

    def _keep_edited(self, text: str, node: Node) -> None:
        """Keep an edited program that is not injected: nobody's work is thrown away."""
        path = self.navigator.cache / f"edited-{self.session.run.name}-{node.id}.py"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
        except OSError as exc:
            self.say(f"{path} cannot be written: {exc.strerror}", "bad", 10.0)
        else:
            self.say(f"not injected; the edited program is kept in {path}", "accent", 10.0)
