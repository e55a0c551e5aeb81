"""Ask before code of a task or a run from elsewhere runs here."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import Annotated

import typer

from engine.cli.progress import tell
from engine.errors import RunError
from engine.runs.review import NotTrusted, Review
from engine.text import visible

__all__ = ["TrustOption", "settle"]

TrustOption = Annotated[
    bool, typer.Option("--trust", help="Agree to what the task or run from elsewhere may do, without being asked.")
]

_WIDEST = 100


def settle(review: Review | None, trust: bool, may_ask: bool) -> None:
    """Go on if a person agrees to what is to be run, or has agreed before.

    Args:
        review: what is to be agreed to; None if nothing is.
        trust: whether the command line agrees.
        may_ask: whether the person at this terminal may be asked.

    Raises:
        NotTrusted: nobody agrees, and nobody can be asked.
        RunError: the person says no, or the workspace cannot be written.
    """
    if review is None:
        return
    if trust:
        review.agree()
        tell(visible(f"trusted: {review.what}" + (f": {review.summary}" if review.reach else "")))
        return
    if not (may_ask and sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotTrusted(review)
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    tell("\n".join(_screen(review, width)))
    while True:
        print("Run it? [y/m/N] " if review.may_be_own else "Run it? [y/N] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        match answer.strip().casefold():
            case "y" | "yes":
                review.agree()
                return
            case "m" | "mine" if review.may_be_own:
                review.agree(own=True)
                return
            case "n" | "no" | "":
                raise RunError("nothing of it was run")


def _screen(review: Review, width: int) -> list[str]:
    """Return the lines that say what is to be agreed to."""
    lines = _wrapped(f"{review.why[0].upper()}{review.why[1:]}. It brings code:", width, "")
    label = max(len(name) for name, _ in review.facts) + 2
    for name, text in review.facts:
        lines += _wrapped(f"  {name:<{label}}{text}", width, " " * (label + 2))
    if review.reach:
        lines += ["What not every task may do, and this one may:"]
        for text in review.reach:
            sign = "!" if text in review.new else " "
            lines += _wrapped(f"{sign} {text}", width, "  ")
    if review.may_be_own:
        lines += _wrapped("y: trust these files, wherever they lie", width, "   ")
        lines += _wrapped("m: mine: trust this folder whatever I change in it; ask if it may do more", width, "   ")
    return [visible(line) for line in lines]


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [text]
