"""The files of a program, of which one is chosen, or all."""

from __future__ import annotations

from collections.abc import Sequence

from tui.model.document import clean_line
from tui.model.labels import fit
from tui.model.program_files import ProgramFile
from tui.widgets.painted import Painted, Piece

__all__ = ["FileList"]

_MOST_ROWS = 6
_SIGNS = {"same": (" ", "plain"), "changed": ("~", "accent"), "new": ("+", "added"), "deleted": ("-", "removed")}


class FileList(Painted):
    """A row for each file, and one above for all; no focus of its own: keys of the screen move the cursor."""

    DEFAULT_CSS = "FileList { height: 0; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.files: list[ProgramFile] = []
        self.chosen = ""
        """The path of the chosen file; empty for all. It stays while no files are shown."""
        self._top = 0

    def show(self, files: list[ProgramFile]) -> None:
        """Show another program's files, with the cursor on the same path if that is among them."""
        self.files = files
        if files and self.chosen not in [file.path for file in files]:
            self.chosen = ""
        height = min(len(files) + 1, _MOST_ROWS) if files else 0
        if self.styles.height is None or self.styles.height.value != height:
            self.styles.height = height
        self._follow()

    def move(self, step: int) -> None:
        """Move the cursor, from the last to the first."""
        paths = ["", *(file.path for file in self.files)]
        self.chosen = paths[(self.cursor + step) % len(paths)]
        self._follow()

    @property
    def cursor(self) -> int:
        """The row of the chosen file; 0 for all."""
        return next((row for row, file in enumerate(self.files, 1) if file.path == self.chosen), 0)

    def _follow(self) -> None:
        rows = min(len(self.files) + 1, _MOST_ROWS)
        self._top = max(min(self._top, self.cursor, len(self.files) + 1 - rows), self.cursor - rows + 1, 0)
        self.repaint()

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the row of a file: its change, path, size and changed lines."""
        index = self._top + y
        if not self.files or index > len(self.files):
            return []
        if not index:
            touched = sum(file.change != "same" for file in self.files)
            return [
                (f"    all {len(self.files)} files, {touched} of them changed" if touched else "    all files", "plain")
            ]
        file = self.files[index - 1]
        sign, look = _SIGNS[file.change]
        lines = f"+{file.added} -{file.removed}" if file.change != "same" else ""
        width = max(12, self.size.width - 32)
        return [
            (f"  {sign} ", look),
            (fit(clean_line(file.path), width), look if file.change == "deleted" else "plain"),
            (f"{file.size:>11,} B", "dim"),
            (f"{lines:>14}", "dim"),
        ]

    def row_ground(self, y: int) -> str:
        """Return the look of the cursor's row."""
        return "cursor" if self.files and self._top + y == self.cursor else "plain"
