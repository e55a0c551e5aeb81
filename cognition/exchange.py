"""Import and export whole collections: a folder of Markdown files, JSON lines, ASI-Evolve's cognition.

Each JSON line holds a prior with all its revisions, so that an import elsewhere gives the same collection. A folder
holds the current texts of the active priors. `cognition.json` is the format of the published ASI-Evolve,
`{"items": {ID: {"content", "source", "metadata"}}}`; it has no place for a history. Items are also read from the text
of its init_cognition.py.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cognition.collection import Collection, free_id
from cognition.entry import Entry, key_of, slug
from cognition.files import printable, read_prior, scan
from cognition.prior import MOST_BYTES, Prior, PriorError, check_id, parse_prior, with_front
from cognition.store import CognitionError

if TYPE_CHECKING:
    from sqlite_utils import Database

__all__ = ["Imported", "export_folder", "export_items", "export_lines", "import_path"]

_ORIGINS = ("human", "analyzer", "import")
_STATUSES = ("active", "pending", "rejected", "removed")
_LAST_MS = 253_402_300_799_000
_AUTHORS = ("human", "file", "analyzer", "import")


@dataclass
class Imported:
    """The result of an import: ids of priors."""

    added: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    """Known before with another text, which stays in the history."""
    same: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What was refused and why, a sentence each."""


def import_path(collection: Collection, path: Path) -> Imported:
    """Import priors from a folder of Markdown files, one such file, `.jsonl`, or ASI-Evolve's `.json` or `.py`.

    A refused prior keeps no other one out; a second import of the same path changes nothing.

    Raises:
        CognitionError: the path cannot be read, or has none of these formats.
    """
    done = Imported()
    try:
        if path.is_dir():
            for name in sorted(scan(path)):
                _take(collection, done, printable(name), read_prior(path / name))
        elif path.suffix == ".md":
            _take(collection, done, printable(path.name), read_prior(path))
        elif path.suffix == ".jsonl":
            _import_lines(collection, done, path.read_text(encoding="utf-8"))
        elif path.suffix == ".json":
            _import_items(collection, done, _items_of(path, path.read_text(encoding="utf-8")))
        elif path.suffix == ".py":
            _import_items(collection, done, _items_in(path, path.read_text(encoding="utf-8-sig"), done))
        else:
            raise CognitionError(
                f"{path} is not a folder, .md, .jsonl, .json or .py",
                "Name what 'evolve priors export' wrote, or ASI-Evolve's cognition.json or init_cognition.py",
            )
    except UnicodeDecodeError as exc:
        raise CognitionError(f"{path} is not UTF-8 text: {exc.reason} at byte {exc.start}") from None
    except OSError as exc:
        raise CognitionError(f"{path} cannot be read: {exc.strerror}") from None
    return done


def export_folder(collection: Collection, folder: Path) -> int:
    """Write the active priors as Markdown files into an empty or missing folder; return their number.

    Raises:
        CognitionError: the folder is not empty.
        OSError: the folder cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise CognitionError(f"{folder} is not empty", "Name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    entries = collection.entries()
    for entry in entries:
        (folder / f"{entry.id}.md").write_text(entry.prior.text, encoding="utf-8", newline="\n")
    return len(entries)


def export_lines(collection: Collection) -> str:
    """Return all priors of any status with their whole history, one JSON object a line."""
    entries = _all(collection)
    with collection.store.reading() as connection:
        rows = (
            _tables(connection)
            .table("revisions")
            .rows_where(
                "collection = ?", [collection.id], order_by="key, revision", select="key, text, at, author, message"
            )
        )
        histories: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            histories.setdefault(row.pop("key"), []).append(row)
    lines = (_line(entry, histories[key_of(entry.id)]) for entry in entries)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def export_items(collection: Collection) -> str:
    """Return the enabled priors as ASI-Evolve's cognition.json."""
    items = {prior.id: _item(prior) for prior in collection.priors()}
    return json.dumps({"items": items}, ensure_ascii=False, indent=2) + "\n"


def _item(prior: Prior) -> dict[str, Any]:
    return {
        "id": prior.id,
        "content": prior.body.strip(),
        "source": prior.source,
        "metadata": {"title": prior.title, "tags": list(prior.tags), "weight": prior.weight},
    }


def _all(collection: Collection) -> list[Entry]:
    return collection.entries("active", "pending", "rejected", "removed")


def _line(entry: Entry, history: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": entry.id,
        "origin": entry.origin,
        "status": entry.status,
        "gone": entry.gone,
        "evidence": dict(entry.evidence),
        "reason": entry.reason,
        "former": list(entry.former),
        "created_at": entry.created_at,
        "changed_at": entry.changed_at,
        "revisions": history,
    }


def _tables(connection: sqlite3.Connection) -> Database:
    """Return the base's tables for reading and writing many rows.

    sqlite-utils takes 0.1 s and 15 MB (0.04 s and 3 MB beside numpy), which a command that reads or writes whole
    collections can spend and a screen or a run's start cannot; one row costs 0.18 ms in place of 0.06.
    """
    from sqlite_utils import Database

    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _take(
    collection: Collection, done: Imported, name: str, found: Prior | str, evidence: Mapping[str, Any] | None = None
) -> None:
    """Add or edit one prior."""
    if isinstance(found, str):
        done.refused.append(f"{name}: {found}")
        return
    with collection.store.writing():
        entry = collection.find(found.id)
        try:
            if entry is None:
                collection.add(found.id, found.text, origin="import", author="import", evidence=evidence)
                done.added.append(found.id)
            elif entry.status == "active" and entry.prior.text == found.text:
                done.same.append(entry.id)
            elif entry.status == "active":
                collection.edit(entry.id, found.text, author="import")
                done.edited.append(entry.id)
            else:
                done.refused.append(f"{name}: '{entry.id}' is there and {entry.status}")
        except PriorError as exc:
            done.refused.append(f"{name}: {exc}")


def _import_lines(collection: Collection, done: Imported, text: str) -> None:
    # One transaction: a thousand of them take 5 s, most of it waiting for the disk.
    with collection.store.writing() as connection:
        tables = _tables(connection)
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                with tables.atomic():  # nothing stays of a line that is refused
                    _take_line(collection, tables, done, json.loads(line))
            except RecursionError:
                done.refused.append(f"line {number}: is nested too deeply to be read")
            except (PriorError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as exc:
                why = exc if isinstance(exc, PriorError) else f"is not a prior ({type(exc).__name__}: {exc})"
                done.refused.append(f"line {number}: {why}")


def _take_line(collection: Collection, tables: Database, done: Imported, data: dict[str, Any]) -> None:
    """Add one exported prior: the whole of a new one, the last text as an edit if there is one with its id."""
    prior_id = str(data["id"])
    check_id(prior_id)
    revisions = [(str(r["text"]), _moment(r["at"]), r["author"], str(r["message"])) for r in data["revisions"]]
    if not revisions or data["origin"] not in _ORIGINS or data["status"] not in _STATUSES:
        raise ValueError("origin, status or revisions")
    for text, _, author, _ in revisions:
        if author not in _AUTHORS or parse_prior(prior_id, text).text != text or len(text.encode()) > MOST_BYTES:
            raise ValueError("a revision")
    if collection.find(prior_id) is not None:
        _take(collection, done, prior_id, parse_prior(prior_id, revisions[-1][0]))
        return
    key = key_of(prior_id)
    collection.add(prior_id, revisions[0][0], origin=data["origin"], status=data["status"])
    tables.table("revisions").upsert_all(
        {
            "collection": collection.id, "key": key, "revision": number, "text": text,
            "sha256": hashlib.sha256(text.encode()).hexdigest(), "at": at, "author": author, "message": message,
        }
        for number, (text, at, author, message) in enumerate(revisions, start=1)
    )  # fmt: skip
    tables.table("priors").update(
        (collection.id, key),
        {
            "revision": len(revisions), "gone": int(bool(data["gone"])), "evidence": json.dumps(dict(data["evidence"])),
            "reason": str(data["reason"]), "former": json.dumps([str(name) for name in data["former"]]),
            "created_at": _moment(data["created_at"]),
            "changed_at": _moment(data["changed_at"]),
        },
    )  # fmt: skip
    done.added.append(prior_id)


def _moment(value: Any) -> int:
    """Return milliseconds since 1970, at most the end of the year 9999, which is the last that a date can name."""
    moment = int(value)
    if not 0 <= moment <= _LAST_MS:
        raise ValueError(f"the time {str(value)[:30]}")
    return moment


def _items_of(path: Path, text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the items of a cognition.json by their ids."""
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise CognitionError(f"{path} is not JSON: {exc}") from None
    except RecursionError:
        raise CognitionError(f"{path} is nested too deeply to be read") from None
    items = data.get("items") if isinstance(data, dict) else data
    listed = items if isinstance(items, list) else []
    named = list(items.items()) if isinstance(items, dict) else [("", item) for item in listed]
    if not named or not all(isinstance(item, dict) and isinstance(item.get("content"), str) for _, item in named):
        raise CognitionError(f"{path} holds no cognition of ASI-Evolve: no 'items' with a 'content'")
    return [(str(item.get("id") or key), item) for key, item in named]


def _items_in(path: Path, text: str, done: Imported) -> list[tuple[str, dict[str, Any]]]:
    """Return the items in a program's text, which is never run."""
    from cognition.program_items import items_in_program

    try:
        found, refused = items_in_program(text)
    except ValueError as exc:
        raise CognitionError(f"{path}: {exc}") from None
    if not found and not refused:
        raise CognitionError(f"{path} holds no cognition of ASI-Evolve: no CognitionItem(content=…)")
    done.refused.extend(f"{path.name}, {why}" for why in refused)
    return [(str(item.get("id") or ""), item) for _, item in found]


def _import_items(collection: Collection, done: Imported, named: list[tuple[str, dict[str, Any]]]) -> None:
    known = {
        entry.evidence[mark]: entry.id
        for entry in _all(collection)
        for mark in ("item", "text")
        if entry.evidence.get(mark)
    }
    for name, item in named:
        try:
            _take_item(collection, done, name, item, known)
        except (ValueError, ArithmeticError, RecursionError) as exc:
            done.refused.append(f"{printable(name)}: is not a prior ({type(exc).__name__}: {exc})")


def _take_item(
    collection: Collection, done: Imported, item_id: str, item: dict[str, Any], known: dict[Any, str]
) -> None:
    """Add one item, unless the collection has it.

    An item imported before is recognised by a sha256 of it, also if it has got a generated id since: init_cognition.py
    has none, and the cognition.json that it makes does. An item that the export of one of the collection's own priors
    gives is that prior.
    """
    own = collection.find(item_id)
    if own is not None and item == _item(own.prior):
        if own.status == "active":
            done.same.append(own.id)
        else:
            done.refused.append(f"{item_id}: '{own.id}' is there and {own.status}")
        return
    content, metadata = item["content"].strip(), item.get("metadata")
    details: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    first = next((line.strip("#*- \t") for line in content.splitlines() if line.strip("#*- \t")), "")
    topic = str(details.get("topic") or "").replace("_", " ").strip()
    title = _field(details.get("title") or details.get("name") or topic[:80] or first[:80])
    tags = details.get("tags")
    text = with_front(content + "\n", "title", title) if title else content + "\n"
    if isinstance(tags, list) and tags:
        text = with_front(text, "tags", _field(", ".join(map(str, tags))))
    if item.get("source"):
        text = with_front(text, "source", _field(item["source"]))
    weight = details.get("weight")
    if isinstance(weight, int | float) and not isinstance(weight, bool) and weight != 1:
        text = with_front(text, "weight", str(weight))
    mark = _sha([item_id, item])
    alone = _sha([item["content"], item.get("source") or "", details])
    twin = known.get(mark) or (known.get(alone) if _is_generated(item_id) else None)
    if twin is not None:
        done.same.append(twin)
        return
    evidence = {"item": mark, "text": alone, "item_id": item_id, "metadata": details}
    try:
        with collection.store.writing():
            wanted = slug(item_id) if not _is_generated(item_id) else slug(title)
            added = collection.add(
                free_id(collection, wanted), text, origin="import", author="import", evidence=evidence
            )
        done.added.append(added.id)
    except PriorError as exc:
        done.refused.append(f"{item_id or title}: {exc}")


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _field(value: Any) -> str:
    """Return a value as one line of front matter."""
    return " ".join(str(value).split()).strip("\"'")


def _is_generated(item_id: str) -> bool:
    """Return whether an item's id has no meaning for people: a number, or the output of an id generator."""
    plain = item_id.replace("-", "")
    return not plain or plain.isdigit() or (len(plain) >= 16 and set(plain) <= set("0123456789abcdef"))
