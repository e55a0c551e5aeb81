"""Notices what people change in the priors while the run is alive."""

from __future__ import annotations

from cognition.files import PriorFolder
from cognition.prior import Prior
from engine.events import PriorChanged

__all__ = ["PriorWatch"]


class PriorWatch:
    """Reads the priors afresh and tells what changed since the last look.

    Args:
        folder: where the files are.
    """

    def __init__(self, folder: PriorFolder) -> None:
        self._folder = folder
        self._known: dict[str, Prior] | None = None

    def read(self) -> tuple[list[Prior], list[PriorChanged]]:
        """The enabled priors as they are now, and what happened to any since the last call."""
        priors = self._folder.read()
        now = {prior.id: prior for prior in priors}
        before = self._known
        self._known = now
        if before is None:
            return priors, []
        changes = []
        for prior in priors:
            old = before.get(prior.id)
            if old is None:
                changes.append(PriorChanged(prior.id, prior.revision, "added", prior.title))
            elif old.revision != prior.revision:
                changes.append(PriorChanged(prior.id, prior.revision, "edited", prior.title))
        changes += [
            PriorChanged(old.id, old.revision, "disabled", old.title) for old in before.values() if old.id not in now
        ]
        return priors, changes
