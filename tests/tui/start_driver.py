"""An application of one line behind the terminal's driver: it types what it is sent, and F12 makes it count.

With `--break input` or `--break output` that part of the driver fails.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import Input, Static, TextArea

import tui.driver
import tui.tokens
from tui.driver import TerminalDriver


class Counting(App[None], inherit_bindings=False):
    """Answers F12 with the next number."""

    BINDINGS = [Binding("f12", "count", priority=True)]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = False
    CSS = "TextArea { height: 5; }"

    def __init__(self) -> None:
        super().__init__(driver_class=TerminalDriver)
        self.count = 0

    def compose(self) -> ComposeResult:
        yield Static("counted 0.")
        yield Input()
        yield TextArea()

    def action_count(self) -> None:
        self.count += 1
        self.query_one(Static).update(f"counted {self.count}.")
        # What was typed is of no use, and in time it would be much.
        self.query_one(Input).value = ""
        self.query_one(TextArea).text = ""
        self.query_one((Input, TextArea)[self.count % 2]).focus()


class Broken:
    """Stands for a part of the driver."""

    def __init__(self, *parts: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name == "fileno":
            return lambda: 2
        if name == "patience":
            return None
        raise RuntimeError("broken for a test")


if __name__ == "__main__":
    if "--break" in sys.argv:
        from tui.app import run_tui

        setattr(tui.driver, {"input": "Tokenizer", "output": "open_output"}[sys.argv[2]], Broken)
        sys.exit(run_tui(Path(sys.argv[3])))
    # So that what is never ended is given up while the test waits.
    tui.tokens._PASTE_SECONDS = 0.4
    app = Counting()
    app.run()
    sys.exit(app.return_code)
