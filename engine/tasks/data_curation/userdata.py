"""Read the user's documents: a folder with a subfolder of text files per category, or a JSONL file."""

from __future__ import annotations

import json
from pathlib import Path

from corpus import DataError

COLUMNS = ("category", "text")


def read(path: str, folder: Path, setting: str) -> dict[str, dict[str, str]]:
    """Map category to place (file, or file and row) to text.

    Args:
        path: as in the settings; relative ones start at the task's folder.
        folder: the task's folder.
        setting: the setting that gave the path, for messages.

    Raises:
        DataError: it is missing, or a part of it cannot be used; the message names file and row.
    """
    full = folder / Path(path).expanduser()
    if full.is_dir():
        return _folder(full)
    if not full.is_file():
        raise DataError(
            f"there is no file or folder {full} (settings.{setting}): "
            "correct the path, and name folders outside the task's own in `mounts` of task.toml"
        )
    return _rows(full)


def _folder(full: Path) -> dict[str, dict[str, str]]:
    """Read every file of a subfolder as a text of the category that the subfolder names."""
    categories = sorted(path for path in full.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not categories:
        raise DataError(f"{full} has no subfolders: it must have one with text files for each category")
    found: dict[str, dict[str, str]] = {}
    for category in categories:
        files = sorted(path for path in category.rglob("*") if path.is_file() and not path.name.startswith("."))
        texts = {}
        for file in files:
            try:
                texts[f"{category.name}/{file.relative_to(category)}"] = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as exc:
                raise DataError(f"{file} cannot be read: {exc}") from None
        if not any(text.strip() for text in texts.values()):
            raise DataError(f"the category '{category.name}' is empty: {category} holds {len(files)} files and no text")
        found[category.name] = texts
    return found


def _rows(full: Path) -> dict[str, dict[str, str]]:
    """Read every row of a JSONL file as a text; besides "text" and "category" a row may name its "source"."""
    found: dict[str, dict[str, str]] = {}
    try:
        with full.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{full}, row {number}"
                    category, text, source = _row(line, where)
                    texts = found.setdefault(category, {})
                    # Rows of one source are all trained on or all held out.
                    texts[source] = f"{texts[source]}\n\n{text}" if source in texts else text
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{full} cannot be read: {exc}") from None
    if not found:
        raise DataError(f"{full} holds no rows")
    return found


def _row(line: str, where: str) -> tuple[str, str, str]:
    try:
        row = json.loads(line)
    except ValueError as exc:
        raise DataError(f"{where} is no JSON: {exc}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where} must be an object with {' and '.join(COLUMNS)}, not a {type(row).__name__}")
    missing = [column for column in COLUMNS if column not in row]
    if missing:
        raise DataError(
            f"{where} has no column {', '.join(missing)}: a row must have category and text, "
            f"and this one has {', '.join(map(str, row))[:200] or 'none'}"
        )
    for column in COLUMNS:
        if not isinstance(row[column], str) or not row[column].strip():
            raise DataError(f"{where}: {column} must be text, not {str(row[column])[:40]!r}")
    return row["category"], row["text"], str(row.get("source", f"row {where.rpartition(' ')[2]}"))
