"""Actions on the prior under the cursor of a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from cognition.entry import Entry
from cognition.prior import PriorError, check_id
from engine.errors import EvolveError, UsageError
from engine.text import one_line
from tui.drafts import Draft
from tui.editor import edit_text
from tui.feed.priors import PriorDesk, Shelf
from tui.screens.area import ActionArea
from tui.screens.dialogs import Confirm, Prompt
from tui.screens.prior_editor import PriorEditor
from tui.screens.prior_history import PriorHistory
from tui.widgets.priors import PriorsView

if TYPE_CHECKING:
    from cognition.collection import Collection

__all__ = ["PriorActions"]


class PriorActions(ActionArea):
    """Acts on the prior under the cursor.

    Args:
        desk: changes the collection, in its thread.
        list_: the list, composed inside.
        drafts_folder: the folder of unsaved texts.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "accept", "Accept", id="priors.accept", tooltip="Accept the proposal"),
        Binding("x", "reject", "Reject", id="priors.reject", tooltip="Reject the proposal, with a reason"),
        Binding("u", "draft", "Draft", id="priors.draft", tooltip="Continue the newest unsaved text"),
        Binding("E", "editor", "$EDITOR", id="priors.editor", show=False, tooltip="Edit its text in $EDITOR"),
        Binding("a", "add", "Add", id="priors.add", tooltip="Write a new prior"),
        Binding(
            "h", "history", "History", id="priors.history", tooltip="Its revisions and their changes; revert to one"
        ),
        Binding("w", "weight", "Weight", id="priors.weight", tooltip="Its weight when priors are chosen; 1 at first"),
        Binding("D", "remove", "Remove", id="priors.remove", show=False, tooltip="Remove it and its file"),
        Binding("R", "restore", "Restore", id="priors.restore", tooltip="Restore it as it was"),
    ]

    class Acted(Message):
        """A prior was changed."""

        def __init__(self, prior_id: str) -> None:
            super().__init__()
            self.prior_id = prior_id

    def __init__(self, desk: PriorDesk, list_: PriorsView, drafts_folder: Path) -> None:
        super().__init__()
        self._desk = desk
        self._list = list_
        self._drafts_folder = drafts_folder
        self.shelf: Shelf | None = None
        """The priors as the desk last read them."""
        self.drafts: dict[str, Draft] = {}
        """Unsaved texts, by the id of their prior."""

    def entry(self, prior_id: str) -> Entry | None:
        """Return the prior of an id; None if there is none."""
        rows = self.shelf.rows if self.shelf is not None else ()
        return next((row.entry for row in rows if row.entry.id == prior_id), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only the actions that the state of the prior under the cursor allows."""
        state = row.state if (row := self._list.selected) is not None else ""
        if action == "draft":
            return bool(self.drafts)
        if action == "accept":
            return state in ("pending", "rejected")
        if action == "reject":
            return state == "pending"
        if action == "restore":
            return state in ("removed", "gone")
        if action in ("weight", "remove"):
            return state in ("on", "off", "gone")
        return bool(state) if action in ("editor", "history") else True

    def _do(self, act: Callable[[Collection], Entry], said: str) -> None:
        def done(entry: Entry) -> None:
            self.post_message(self.Acted(entry.id))
            self.say(f"{entry.id}: {said}, revision {entry.prior.number}", "ok")

        self._desk.do(act, done, self.refuse)

    def refuse(self, error: Exception) -> None:
        """Show an error of the desk with its hint."""
        hint = getattr(error, "hint", "")
        self.say(f"{error}. {hint}" if hint and not isinstance(error, EvolveError) else str(error), "bad", 10.0)

    def on_priors_view_chosen(self, event: PriorsView.Chosen) -> None:
        """Edit a prior, or turn it on or off."""
        entry = event.row.entry
        if not event.toggled:
            self._edit(entry)
        else:
            on = event.row.state == "off"
            self._do(lambda collection: collection.set_enabled(entry.id, on), "on" if on else "off")

    def _edit(self, entry: Entry, text: str | None = None) -> None:
        """Open the editor on a prior: with a text that could not be saved, with its draft, or with its current text."""
        draft = self.drafts.get(entry.id)
        if text is not None:
            self._open_editor(entry.id, text, entry.prior.number, entry, None)
        elif draft is not None:
            self._open_editor(entry.id, draft.text, draft.number, entry, draft)
        else:
            self._open_editor(entry.id, entry.prior.text, entry.prior.number, entry, None)

    def _open_editor(self, prior_id: str, text: str, number: int, entry: Entry | None, draft: Draft | None) -> None:
        if self.shelf is not None:
            editor = PriorEditor(
                self._desk, self.shelf.place, self._drafts_folder, prior_id, text, number, entry, draft
            )
            self.app.push_screen(editor)

    def action_draft(self) -> None:
        """Continue the newest draft."""
        draft = max(self.drafts.values(), key=lambda item: item.at)
        self._open_editor(draft.id, draft.text, draft.number, self.entry(draft.id), draft)

    def action_editor(self) -> None:
        """Edit in the user's own editor, then open and save the result here, so that a refused text is not lost."""
        row = self._list.selected
        if row is None or row.state == "removed":
            return
        entry = row.entry
        try:
            changed = edit_text(self.app, self.navigator.guard, entry.prior.text, f"{entry.id}.md")
        except EvolveError as exc:
            self.say_error(exc)
            return
        if changed is not None:
            self._edit(entry, changed)
            self.call_after_refresh(self._save_editor)

    def _save_editor(self) -> None:
        if isinstance(self.app.screen, PriorEditor):
            self.app.screen.action_save()

    def action_add(self) -> None:
        """Ask for a name, then open the editor."""
        self.app.push_screen(
            Prompt("Name of the new prior:", hint="its file's name without .md", check=self._check_name), self._add
        )

    def _check_name(self, name: str) -> None:
        try:
            check_id(name.strip())
        except PriorError as exc:
            raise UsageError(str(exc)) from None
        there = self.entry(name.strip())
        if there is not None:
            raise UsageError(f"there is a prior '{there.id}' already, {there.status}")

    def _add(self, name: str | None) -> None:
        if name is not None:
            prior_id = name.strip()
            title = prior_id.replace("-", " ").replace("_", " ").capitalize()
            draft = self.drafts.get(prior_id)
            text = draft.text if draft is not None else f"---\ntags: \n---\n# {title}\n\n"
            self._open_editor(prior_id, text, 0, None, draft)

    def action_weight(self) -> None:
        """Ask for a weight."""
        row = self._list.selected
        if row is None:
            return
        entry = row.entry

        def check(text: str) -> None:
            try:
                float(text)
            except ValueError:
                raise UsageError(f"'{one_line(text, 40)}' is not a number") from None

        def use(text: str | None) -> None:
            if text is not None:
                weight = float(text)
                self._do(lambda collection: collection.set_weight(entry.id, weight), f"weight {weight:g}")

        hint = "1 at first; 0: never shown for its match; 2: counts twice"
        question = f"Weight of '{one_line(entry.prior.title, 50)}':"
        self.app.push_screen(Prompt(question, f"{entry.prior.weight:g}", hint, check=check), use)

    def action_remove(self) -> None:
        """Ask, then remove the prior."""
        row = self._list.selected
        if row is not None:
            prior_id = row.entry.id
            question = f"Remove '{prior_id}' and its file? Its history stays, and R restores it (A shows it)."
            self.app.push_screen(
                Confirm(question),
                lambda yes: self._do(lambda collection: collection.remove(prior_id), "removed") if yes else None,
            )

    def action_restore(self) -> None:
        """Restore the prior."""
        row = self._list.selected
        if row is not None:
            prior_id = row.entry.id
            self._do(lambda collection: collection.restore(prior_id), "restored")

    def action_accept(self) -> None:
        """Accept the proposal."""
        row = self._list.selected
        if row is not None:
            prior_id = row.entry.id
            self._do(lambda collection: collection.accept(prior_id), "accepted")

    def action_reject(self) -> None:
        """Ask for a reason, then reject the proposal."""
        row = self._list.selected
        if row is None:
            return
        prior_id = row.entry.id

        def reject(reason: str | None) -> None:
            if reason is not None:
                self._do(lambda collection: collection.reject(prior_id, reason.strip()), "rejected")

        question = f"Why reject '{one_line(row.entry.prior.title, 50)}'?"
        self.app.push_screen(Prompt(question, hint="for whoever reads it later; may be empty"), reject)

    def action_history(self) -> None:
        """Show the revisions of the prior."""
        row = self._list.selected
        if row is not None:
            self.app.push_screen(PriorHistory(self._desk, row.entry, self._do))
