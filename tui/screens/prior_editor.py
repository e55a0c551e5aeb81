"""The editor of a prior: Markdown beside its preview, drafts that survive a crash, and conflicts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import TextArea

from cognition.entry import Entry
from cognition.prior import PriorError, check_text, head_problem, parse_prior
from cognition.store import Conflict
from engine.errors import EvolveError
from engine.journal.clock import now_ms
from engine.priors.place import PriorPlace
from engine.text import one_line, visible
from tui.drafts import Draft, drop_draft, keep_draft
from tui.editor import edit_text
from tui.feed.priors import PriorDesk
from tui.model.markdown import markdown_lines
from tui.model.prior_documents import moment
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Confirm
from tui.screens.prior_conflict import PriorConflict
from tui.widgets.bars import Title
from tui.widgets.painted import Throttle
from tui.widgets.text_view import TextView

if TYPE_CHECKING:
    from cognition.collection import Collection

__all__ = ["Edited", "PriorEditor"]

_DRAFT_SECONDS = 1.0


class Edited(Message):
    """A prior was saved."""

    def __init__(self, entry: Entry, said: str, is_doubtful: bool) -> None:
        super().__init__()
        self.entry = entry
        self.said = said
        self.is_doubtful = is_doubtful
        """The text was saved, but has a probable mistake."""


class PriorText(TextArea):
    """The text area; it draws control characters and invisible ones as a sign."""

    DEFAULT_CSS = """
    PriorText { border: none; padding: 0; background: $background; }
    PriorText:focus { border: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+home", "edge(False)", "Start", id="editor.start", show=False, tooltip="The start of the text"),
        Binding("ctrl+end", "edge(True)", "End", id="editor.end", show=False, tooltip="The end of the text"),
    ]

    async def on_key(self, event: events.Key) -> None:
        """Run the bindings of keys in the order they were pressed, as for letters.

        Textual lets such keys bubble up and meanwhile types the keys after them: in a burst, as a slow line delivers
        it, ctrl+s would save a text without its last words.
        """
        if event.is_printable or event.key in ("enter", "tab"):
            return
        active = self.screen.active_bindings.get(event.key)
        if active is not None and active.enabled:
            event.stop()
            event.prevent_default()
            await self.app.run_action(active.binding.action, active.node)

    def action_edge(self, end: bool) -> None:
        """Go to the end of the text, or to its start."""
        self.move_cursor(self.document.end if end else (0, 0))

    def get_line(self, line_index: int) -> Text:
        """Return the line as drawn, one sign for each character, so that the cursor stands at the right place."""
        drawn = "".join("▯" if visible(sign) != sign else sign for sign in self.document.get_line(line_index))
        return Text(drawn, end="", no_wrap=True)


class PriorEditor(BaseScreen):
    """Edits a prior's text.

    Args:
        desk: saves the text.
        place: the collection.
        folder: the folder of drafts.
        prior_id: the prior's id.
        text: the text at first.
        number: the revision that the text was made from; 0 for a new prior.
        entry: the prior as it is now; None for a new one.
        draft: the unsaved text to continue; None if there is none.
    """

    DEFAULT_CSS = """
    PriorEditor #body { height: 1fr; }
    PriorEditor PriorText { width: 1fr; height: 100%; }
    PriorEditor #preview { width: 1fr; height: 100%; border-left: solid $look-border; padding: 0 1; }
    PriorEditor.-narrow #preview { display: none; border-left: none; }
    PriorEditor.-narrow.-preview PriorText { display: none; }
    PriorEditor.-narrow.-preview #preview { display: block; }
    App.-plain PriorEditor #preview { border-left: ascii $look-border; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="editor.save", tooltip="Save it as a new revision"),
        Binding("escape", "leave", "Leave", id="editor.leave", tooltip="Leave; an unsaved text is kept as a draft"),
        Binding("f3", "preview", "Preview", id="editor.preview", tooltip="Switch between the text and its preview"),
        Binding("f4", "editor", "$EDITOR", id="editor.editor", tooltip="Continue in your own editor"),
        Binding("f5", "discard", "Discard", id="editor.discard", tooltip="Discard unsaved changes"),
        Binding("f1", "app.help", "Help", id="editor.help", tooltip="The keys that work here, and what words mean"),
    ]

    title_ = "Editor"
    about = (
        "The text of a prior. Front matter between two lines '---' may give title, tags, source, weight and enabled.\n"
        "A block that begins with ```python recipe is a function that the designer 'recombine' may splice in.\n"
        "Saving makes a new revision and writes the file; the next learn stage reads it. Nothing typed is lost: it is "
        "kept as a draft within a second, and offered when the priors are shown again.\n"
        "ctrl+z undoes, ctrl+y redoes."
    )

    def __init__(
        self,
        desk: PriorDesk,
        place: PriorPlace,
        folder: Path,
        prior_id: str,
        text: str,
        number: int,
        entry: Entry | None,
        draft: Draft | None = None,
    ) -> None:
        super().__init__()
        self.prior_id = prior_id
        self._desk = desk
        self._place = place
        self._folder = folder
        self._number = number
        self._entry = entry
        self._saved = entry.prior.text if entry is not None else text
        self._draft = draft
        self._newest = text
        self._saving = False
        self._ended = False
        self._lock = threading.Lock()
        self._head = Title(id="head")
        self._area = PriorText(text, soft_wrap=True, tab_behavior="indent", highlight_cursor_line=False)
        self._area.cursor_blink = False
        self._preview = TextView(id="preview")
        self._keep = Throttle(self, _DRAFT_SECONDS, self._keep_draft)
        self._draw = Throttle(self, 0.5, self._paint)

    def compose_body(self) -> ComposeResult:
        """Compose title, text, preview."""
        yield self._head
        with Horizontal(id="body"):
            yield self._area
            yield self._preview

    def on_mount(self) -> None:
        """Focus the text, and report a continued draft."""
        self._preview.can_focus = False
        self._area.focus()
        if self._entry is None:
            self._area.move_cursor(self._area.document.end)
        if self._draft is not None:
            self.call_after_refresh(self.say, f"unsaved draft of {moment(self._draft.at)}; F5 discards it", "best", 8.0)

    def on_unmount(self) -> None:
        """Keep an unsaved text as a draft, whatever ends the screen."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._take_text()
                self._write_draft()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the preview to the new size."""
        super().on_resize(event)
        self.call_after_refresh(self._paint)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Take over the typed text."""
        if self._take_text():
            self._keep()
        self._draw()

    def _take_text(self) -> bool:
        """Take over the typed text; return whether it changed. A key may act on it before its message arrives."""
        before, self._newest = self._newest, self._area.text
        return before != self._newest

    def update_entry(self, entry: Entry | None) -> None:
        """Take over how the prior is in the base now."""
        if not self._saving:
            self._entry = entry
            self._paint()

    @property
    def unsaved(self) -> bool:
        """Whether leaving would lose a typed text, if no draft were kept."""
        return self._newest != self._saved or (self._draft is not None and self._entry is None)

    # Drafts

    def _keep_draft(self) -> None:
        self.run_worker(self._keep_in_thread, thread=True, group="drafts", exit_on_error=False)

    def _keep_in_thread(self) -> None:
        with self._lock:
            if not self._ended:
                self._write_draft()

    def _write_draft(self) -> None:
        base, collection = str(self._place.base), self._place.collection
        if self.unsaved:
            keep_draft(self._folder, Draft(base, collection, self.prior_id, self._number, self._newest, now_ms()))
        else:
            drop_draft(self._folder, base, collection, self.prior_id)

    def _drop_draft(self) -> None:
        """Delete the draft: the text is saved, or was discarded on purpose."""
        with self._lock:
            self._ended = True
            drop_draft(self._folder, str(self._place.base), self._place.collection, self.prior_id)

    # Painting

    def _paint(self) -> None:
        text, entry = self._newest, self._entry
        pieces = [(f" {self.prior_id}.md ", "heading")]
        trouble = _problem_of(self.prior_id, text)
        if trouble:
            pieces.append((f" {one_line(trouble, 200)}", "bad"))
        elif entry is not None and self._number and entry.prior.number != self._number:
            said = f" revision {entry.prior.number} came meanwhile; this is from {self._number}"
            pieces.append((said, "best"))
        elif problem := head_problem(text):
            pieces.append((f" {one_line(problem, 200)}", "best"))
        elif entry is None:
            pieces.append((" new", "accent"))
        else:
            said = "proposed: saving accepts it" if entry.status in ("pending", "rejected") else ""
            pieces.append((f" revision {self._number}  {said}", "accent"))
        pieces.append(("  * not saved" if self.unsaved or self._entry is None else "", "best"))
        self._head.show(*pieces)
        if self._preview.display and self._preview.size.width:
            self._preview.show(markdown_lines(text, self._preview.size.width - 2), keep_place=True)
            self._follow()

    def _follow(self) -> None:
        """Scroll the preview to the line being edited."""
        lines = max(1, self._area.document.line_count - 1)
        share = self._area.cursor_location[0] / lines
        room = len(self._preview.lines) - self._preview.size.height
        self._preview.top = max(0, min(room, round(share * len(self._preview.lines)) - self._preview.size.height // 2))
        self._preview.repaint()

    # Acting

    def action_preview(self) -> None:
        """Switch between text and preview if there is room for one."""
        self.toggle_class("-preview")
        self.call_after_refresh(self._paint)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the preview key only if there is no room for both."""
        return self.size.width < 100 if action == "preview" else True

    def action_editor(self) -> None:
        """Continue in the user's own editor."""
        self._take_text()
        try:
            changed = edit_text(self.app, self.navigator.guard, self._newest, f"{self.prior_id}.md")
        except EvolveError as exc:
            self.say_error(exc)
            return
        if changed is not None:
            self._area.load_text(changed)

    def action_save(self) -> None:
        """Save the text; a proposal is accepted with it."""
        self._take_text()
        trouble = _problem_of(self.prior_id, self._newest)
        if trouble:
            self.say(f"not saved: {trouble}", "bad", 8.0)
        elif not self.unsaved and self._entry is not None and self._entry.status == "active":
            self.say("nothing has changed", "accent")
        else:
            self._save(self._number)

    def _save(self, number: int | None, as_id: str = "") -> None:
        """Save over revision `number` (None: over any), or as a new prior `as_id`."""
        if self._saving:
            return
        self._saving = True
        text, prior_id, entry = self._newest, self.prior_id, self._entry
        proposed = entry is not None and entry.status in ("pending", "rejected")

        def act(collection: Collection) -> Entry:
            from cognition.collection import free_id

            if as_id:
                return collection.add(free_id(collection, as_id), text)
            if entry is None:
                return collection.add(prior_id, text)
            with collection.store.writing():
                if number is not None:
                    collection.edit(prior_id, text, number)
                return collection.accept(prior_id, text) if proposed else collection.edit(prior_id, text)

        self._desk.do(act, self._kept, self._refused)

    def _kept(self, entry: Entry) -> None:
        self._drop_draft()
        told = "accepted" if self._entry is not None and self._entry.status in ("pending", "rejected") else "saved"
        said = f"'{entry.id}' is {told} as revision {entry.prior.number}; the next learn stage reads it"
        problem = head_problem(entry.prior.text)
        if problem:
            said = f"'{entry.id}' is {told}, but {problem}"
        for screen in reversed(self.app.screen_stack):
            if isinstance(screen, BaseScreen) and screen is not self:
                screen.post_message(Edited(entry, said, bool(problem)))
                break
        self._close()

    def _close(self) -> None:
        if self.is_attached and self.is_current:
            self.app.pop_screen()

    def _refused(self, error: Exception) -> None:
        self._saving = False
        if isinstance(error, Conflict):
            self.app.push_screen(PriorConflict(self.prior_id, self._number, error, self._resolve))
            return
        self.say(f"not saved: {error}", "bad", 10.0)

    def _resolve(self, choice: str, conflict: Conflict) -> None:
        """Resolve a conflict by `mine`, `theirs` or `both`."""
        if choice == "mine":
            self._save(conflict.number)
        elif choice == "both":
            self._save(None, as_id=f"{self.prior_id}-mine")
        else:
            self._drop_draft()
            self._close()

    def action_discard(self) -> None:
        """Discard the changes, after a question if there are any."""
        self._take_text()
        if not self.unsaved:
            self._throw_away(True)
        else:
            self.app.push_screen(Confirm("Discard the unsaved changes?"), self._throw_away)

    def _throw_away(self, yes: bool | None) -> None:
        if yes:
            self._drop_draft()
            self._close()

    def action_leave(self) -> None:
        """Leave; an unsaved text stays as a draft."""
        self._take_text()
        if not self.unsaved:
            self._drop_draft()
        self._close()


def _problem_of(prior_id: str, text: str) -> str:
    """Return why a text cannot be a prior; empty if it can."""
    try:
        check_text(text)
        parse_prior(prior_id, text)
    except PriorError as exc:
        return str(exc)
    return ""
