"""Helpers for tests of the cognition base."""

from __future__ import annotations

from pathlib import Path

from cognition.collection import Collection
from cognition.store import Store
from cognition.sync import Sync


class Base:
    """A base with one collection and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "priors"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(folder / "cognition.db")
        self.priors = Collection(self.store, "task", "task", self.folder)
        self.sync = Sync(self.priors)

    def save(self, name: str, text: str) -> None:
        """Save a file in place, as some editors do."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def run(self) -> list[tuple[str, str]]:
        """Sync; return the changes as (id, what), and assert that a second pass makes none."""
        done = [(change.id, change.what) for change in self.sync.run().changes]
        assert Sync(self.priors).run().changes == [], "a second pass finds nothing to do"
        return done

    def problems(self) -> dict[str, str]:
        """Sync; return the problems by file."""
        return {problem.name: problem.text for problem in self.sync.run().problems}

    def files(self) -> dict[str, str]:
        """Return the folder's files and their texts."""
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(self.folder.iterdir())}

    def texts(self, prior_id: str) -> list[str]:
        """Return every text that a prior had."""
        return [revision.text for revision in self.priors.history(prior_id)]

    def files_of(self, prior_id: str) -> dict[str, str]:
        """Return the files of one prior and their texts."""
        return {name: text for name, text in self.files_read().items() if name.split(".")[0] == prior_id}

    def files_read(self) -> dict[str, str]:
        """Return the folder's readable files and their texts."""
        found = {}
        for path in sorted(self.folder.glob("*.md")):
            if path.is_file() and not path.is_symlink():
                found[path.name] = path.read_bytes().decode("utf-8", "replace")
        return found
