"""Ask before code of a task or a run from elsewhere runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.errors import EvolveError
from engine.text import visible

if TYPE_CHECKING:
    from engine.runs.review import Review

__all__ = ["ask_for_trust"]

Answer = Literal["yes", "mine", "no"]


class TrustQuestion(ModalScreen[Answer]):
    """What is to be agreed to, and the keys that answer.

    Args:
        review: what is to be agreed to.
    """

    DEFAULT_CSS = """
    TrustQuestion { align: left bottom; background: transparent; }
    TrustQuestion > VerticalScroll { height: auto; max-height: 100%; background: $surface; padding: 0 1; }
    TrustQuestion > VerticalScroll { border-top: solid $look-border; }
    TrustQuestion Static { height: auto; }
    TrustQuestion .hint { color: $look-dim; }
    TrustQuestion .beyond { color: $look-bad; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer('yes')", "Run it", id="trust.yes", tooltip="Trust these files, wherever they lie"),
        Binding("m", "answer('mine')", "Mine", id="trust.mine", tooltip="Trust this folder whatever you change in it"),
        Binding("n,escape,q", "answer('no')", "No", id="trust.no", tooltip="Run nothing of it"),
    ]

    def __init__(self, review: Review) -> None:
        super().__init__()
        self._review = review

    def compose(self) -> ComposeResult:
        """Compose what it is, what it may do, and the keys."""
        review = self._review
        facts = Table.grid(padding=(0, 2, 0, 0))
        for name, text in review.facts:
            facts.add_row(Text(name), Text(visible(text)))
        with VerticalScroll():
            yield Static(visible(f"{review.why[0].upper()}{review.why[1:]}. It brings code:"), markup=False)
            yield Static(facts)
            if review.reach:
                yield Static("What not every task may do, and this one may:", markup=False)
            for text in review.reach:
                sign, look = ("!", "beyond") if text in review.new else (" ", "")
                yield Static(visible(f"{sign} {text}"), classes=look, markup=False)
            mine = "   m mine: trust this folder whatever I change in it" if review.may_be_own else ""
            yield Static(f"y run it: trust these files{mine}   n no", classes="hint", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer a folder as the person's own only if it can be that."""
        return parameters != ("mine",) or self._review.may_be_own

    def action_answer(self, answer: Answer) -> None:
        """Close with an answer."""
        self.dismiss(answer)


def ask_for_trust(
    app: App[int], review: Review, again: Callable[[], None], refused: Callable[[EvolveError | None], None]
) -> None:
    """Ask in the event loop; if the person agrees, record it and go on.

    Args:
        app: the application.
        review: what is to be agreed to.
        again: called if the person agrees.
        refused: called if not, or with the error if the agreement cannot be kept.
    """

    def answered(answer: Answer | None) -> None:
        if answer not in ("yes", "mine"):
            refused(None)
            return
        try:
            review.agree(own=answer == "mine")
        except EvolveError as exc:
            refused(exc)
        else:
            again()

    app.push_screen(TrustQuestion(review), answered)
