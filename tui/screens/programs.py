"""Actions on the program of the chosen node: copy it, save it, edit it. They work in a replay too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from engine.state.node import Node
from tui import acts
from tui.clipboard import keep_copy
from tui.editor import edit_text
from tui.screens.area import ActionArea
from tui.screens.dialogs import Confirm, Prompt, check_words
from tui.session import Session

__all__ = ["Inject", "ProgramActions"]

Inject = Callable[[Node, str], None]
"""Inject a program that was made from a node."""


class ProgramActions(ActionArea):
    """Copies, saves and edits the program of the chosen node.

    Args:
        session: the run.
        chosen: return the node that is acted on.
        inject: give an edited program to the run; None only keeps it as a file.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit", id="node.edit", tooltip="Open the program in $EDITOR, then inject it"),
        Binding("y", "copy", "Copy", id="node.copy", show=False, tooltip="Copy the program"),
        Binding("w", "save", "Save", id="node.save", show=False, tooltip="Write the program to a file"),
    ]

    def __init__(self, session: Session, chosen: Callable[[], Node | None], inject: Inject | None = None) -> None:
        super().__init__()
        self._session = session
        self._chosen = chosen
        self._inject = inject

    def _file_name(self, stem: str) -> str:
        """Return the name of a file in the language of the task's programs."""
        model = self._session.model
        return model.state.spec.language.file(stem) if model is not None else f"{stem}.py"

    def _with_program(self, use: Callable[[Node, str], None]) -> None:
        """Read the node's program in a thread, then pass it to `use` in the event loop."""
        node, run = self._chosen(), self._session.run
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
        self._with_program(self._copy)

    def _copy(self, node: Node, code: str) -> None:
        self.app.copy_to_clipboard(code)
        folder = self.navigator.cache

        def work() -> None:
            said = keep_copy(code, folder)
            self.app.call_from_thread(self.say, f"#{node.id}: {said}", "accent", 8.0)

        self.in_thread(work)

    def action_save(self) -> None:
        """Ask for a file, and save the program there."""
        node = self._chosen()
        if node is None:
            return
        run, program = self._session.run, node.program
        model = self._session.model
        is_folder = model is not None and bool(model.state.spec.program.files)
        stem = f"{run.name}-{node.id}"
        path = Path.cwd() / (stem if is_folder else self._file_name(stem))

        def act(name: str) -> None:
            acts.save_program(acts.program_of(run, program), acts.path_of(name), is_folder)

        self.app.push_screen(
            Prompt(
                f"Save #{node.id} as:",
                str(path),
                check=check_words,
                act=act,
            ),
            lambda name: self.say(f"#{node.id} is saved in {name.strip()}") if name is not None else None,
        )

    def action_edit(self) -> None:
        """Open the program in the user's editor."""
        self._with_program(self._edit)

    def _edit(self, node: Node, code: str) -> None:
        try:
            changed = edit_text(self.app, self.navigator.guard, code, self._file_name(f"node-{node.id}"))
        except EvolveError as exc:
            self.say_error(exc)
            return
        if changed is None:
            return
        inject = self._inject
        if inject is None:
            self._keep_edited(node, changed)
            return
        self.app.push_screen(
            Confirm(f"Inject the edited program as a new node? It was made from #{node.id}."),
            lambda yes: inject(node, changed) if yes else self._keep_edited(node, changed),
        )

    def _keep_edited(self, node: Node, text: str) -> None:
        """Keep an edited program that is not injected, so that no work is lost."""
        path = self.navigator.cache / self._file_name(f"edited-{self._session.run.name}-{node.id}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="surrogateescape")
        except OSError as exc:
            self.say(f"{path} cannot be written: {exc.strerror}", "bad", 10.0)
        else:
            self.say(f"not injected; the edited program is kept in {path}", "accent", 10.0)
