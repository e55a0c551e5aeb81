"""The priors of a run as its journal has them: for a run from elsewhere, whose files are not on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cognition.collection import Collection
from cognition.prior import PriorError
from cognition.store import CognitionError
from cognition.sync import Sync
from engine.errors import JournalError
from engine.journal.events import LearnDone, PriorChanged
from engine.journal.reader import JournalReader
from engine.priors.place import PriorPlace, open_collection

__all__ = ["Copied", "RecordedPrior", "copy_priors", "recorded_priors"]


class RecordedPrior(NamedTuple):
    """The newest text of a prior that a journal has."""

    id: str
    title: str
    number: int
    """Its revision; 0 if it is unknown."""
    text: str
    shown: int
    """How many designs were shown it, in any revision."""
    last: int
    """The round of the last of these; 0 if none was."""
    state: str
    """`on`, `disabled` or `removed`, as the run last heard."""


class Copied(NamedTuple):
    """What became of priors that were copied into a base."""

    added: int
    same: int
    """The base has the same text already."""
    other: tuple[str, ...]
    """Ids under which the base has another text, or one that a person removed; these stay as they are."""
    refused: tuple[str, ...]
    """Why a text cannot be a prior, a sentence each."""


def recorded_priors(reader: JournalReader, upto: int = 1 << 62) -> list[RecordedPrior]:
    """Return the priors that designs of a run were shown, or that were changed while it ran, by title.

    Args:
        reader: the run's journal.
        upto: the last event that counts.

    Raises:
        JournalError: the journal cannot be read.
    """
    events = sorted(reader.events_of(LearnDone) + reader.events_of(PriorChanged), key=lambda event: event.seq)
    found: dict[str, RecordedPrior] = {}
    named: dict[str, str] = {}
    for event in events:
        data = event.data
        if event.seq > upto:
            break
        if isinstance(data, LearnDone):
            for prior in data.priors:
                shown = found[prior.id].shown if prior.id in found else 0
                named[prior.id] = prior.revision
                found[prior.id] = RecordedPrior(
                    prior.id, prior.title, prior.number, "", shown + 1, event.round or 0, "on"
                )
        elif isinstance(data, PriorChanged):
            state = data.change if data.change in ("disabled", "removed") else "on"
            before = found.get(data.id) or RecordedPrior(data.id, data.title, data.number, "", 0, 0, state)
            named[data.id] = data.revision or named.get(data.id, "")
            found[data.id] = before._replace(
                title=data.title or before.title, number=data.number or before.number, state=state
            )
    priors = [prior._replace(text=_text(reader, named[prior.id])) for prior in found.values()]
    return sorted((prior for prior in priors if prior.text), key=lambda prior: (prior.title.casefold(), prior.id))


def _text(reader: JournalReader, revision: str) -> str:
    """Return a text; empty if the journal lacks it, which it may if no design was shown it."""
    try:
        return reader.text(revision) if revision else ""
    except (JournalError, ValueError):
        return ""


def copy_priors(priors: Iterable[RecordedPrior], place: PriorPlace, run: str) -> Copied:
    """Add priors to a base, and write their files; a prior that is there already stays as it is.

    Args:
        priors: the priors.
        place: the base and its folder of files.
        run: the name of the run that they come from, for their history.

    Raises:
        CognitionError: the base cannot be opened or written.
    """
    added = same = 0
    other: list[str] = []
    refused: list[str] = []
    collection = open_collection(place)
    try:
        Sync(collection).run()
        for prior in priors:
            there = collection.find(prior.id)
            if there is not None and there.status == "active" and there.prior.text == prior.text:
                same += 1
            elif there is not None:
                other.append(prior.id)
            else:
                added += _add(collection, prior, run, refused)
        Sync(collection).run()
    finally:
        collection.store.close()
    return Copied(added, same, tuple(other), tuple(refused))


def _add(collection: Collection, prior: RecordedPrior, run: str, refused: list[str]) -> bool:
    try:
        collection.add(prior.id, prior.text, origin="import", author="import", message=f"from run {run}")
    except (PriorError, CognitionError) as exc:
        # An id that differs only in its case is another file on some systems and the same on others.
        refused.append(str(exc))
        return False
    return True
