"""Export a run: to a file of JSON, CSV or GraphML, a report in HTML, or a checkpoint of OpenEvolve."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import RunError, UsageError
from engine.journal.reader import JournalReader
from engine.runs.folder import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.export.record import Record

__all__ = ["FORMATS", "export_checkpoint", "export_run"]

FORMATS = ("json", "csv", "graphml", "html")
"""The formats, named by a file's suffix."""


def export_run(run: Run, out: Path) -> int:
    """Write a run to a file in the format that its suffix names, and return how many nodes it holds.

    The file appears once it is complete, and replaces one of that name. The run may be live.

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


def export_checkpoint(run: Run, folder: Path, replace: bool) -> int:
    """Write a run as a checkpoint that OpenEvolve resumes from, and return how many programs it holds.

    The folder appears once it is complete. The run may be live.

    Args:
        run: the run.
        folder: a folder that is not there yet, or is empty.
        replace: whether a checkpoint that is there already may be replaced; nothing else ever is.

    Raises:
        UsageError: something is there already.
        JournalError: the run cannot be read.
        RunError: the folder cannot be written.
    """
    from engine.export.openevolve import write_openevolve
    from engine.export.record import read_record

    is_checkpoint = (folder / "metadata.json").is_file() and (folder / "programs").is_dir()
    if is_checkpoint and not replace:
        raise UsageError(f"{folder} is a checkpoint already", "--force replaces it; or name another folder")
    if not is_checkpoint and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and is no checkpoint", "Name a new folder")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    former = folder.with_name(f".{folder.name}.{os.getpid()}.former")
    with JournalReader(run.db) as reader:
        record = read_record(run, reader)
        try:
            partial.mkdir(parents=True)
            written = write_openevolve(record, partial)
            if folder.exists():
                folder.rename(former)
            partial.rename(folder)
        except OSError as exc:
            if former.exists() and not folder.exists():
                former.rename(folder)
            raise RunError(f"{folder} cannot be written: {exc.strerror or exc}") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if folder.exists():
                shutil.rmtree(former, ignore_errors=True)
    return written


def _writer(kind: str) -> Callable[[Record, Path], None]:
    # Lazy imports: only GraphML needs networkx, and only HTML jinja2.
    if kind == "graphml":
        from engine.export.graphml import write_graphml

        return write_graphml
    if kind == "html":
        from engine.export.report import write_report

        return write_report
    from engine.export.tables import write_csv, write_json

    return write_csv if kind == "csv" else write_json
