"""A run as a file for others: JSON, CSV, GraphML, or a report in HTML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RunError, UsageError
from engine.journal.reader import JournalReader
from engine.runs.folder import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.export.record import Record

__all__ = ["FORMATS", "export_run"]

FORMATS = ("json", "csv", "graphml", "html")
"""What can be written, by the file's suffix."""


def export_run(run: Run, out: Path) -> int:
    """Write a run to a file in the format that its suffix names, and return how many nodes it holds.

    The file appears when it is whole; one that is there already is replaced. The run may be live.

    Raises:
        UsageError: the suffix names no format.
        JournalError: the run cannot be read.
        RunError: the file cannot be written.
    """
    from engine.export.record import read_record

    kind = out.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(
            f"'{out.name}' names no format to export to", f"Let it end in {', '.join(f'.{name}' for name in FORMATS)}"
        )
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    with JournalReader(run.db) as reader:
        record = read_record(run, reader)
        try:
            _writer(kind)(record, partial)
            partial.replace(out)
        except OSError as exc:
            raise RunError(f"{out} cannot be written: {exc.strerror or exc}") from None
        finally:
            partial.unlink(missing_ok=True)
    return len(record.state.nodes)


def _writer(kind: str) -> Callable[[Record, Path], None]:
    # networkx and jinja2 are loaded only for what needs them.
    if kind == "graphml":
        from engine.export.graphml import write_graphml

        return write_graphml
    if kind == "html":
        from engine.export.report import write_report

        return write_report
    from engine.export.tables import write_csv, write_json

    return write_csv if kind == "csv" else write_json
