"""`evolve priors`: list, search, edit and judge the priors of a task."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from cognition.collection import Collection
from cognition.entry import Entry
from cognition.prior import PriorError
from cognition.store import Conflict
from cognition.sync import Problem, problems_of, trouble_by_prior
from engine.cli.app import ForceOption, JsonOption, RunsOption, app, existing_folder, print_json, refuse_to_replace
from engine.cli.group import CommandGroup
from engine.cli.prior_base import (
    PriorId,
    TaskOption,
    find,
    iso,
    opened,
    read_text,
    state_of,
    tell,
    warn_of_head,
    whole,
)
from engine.cli.table import print_table
from engine.errors import EvolveError, UsageError
from engine.journal.clock import local_time, local_zone
from engine.text import one_line, visible

__all__: list[str] = []

priors = typer.Typer(
    cls=CommandGroup,
    name="priors",
    help="List, search, edit and judge the priors of a task: what people know about it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(priors)

SortOption = Annotated[
    Literal["gain", "uses", "weight", "title"],
    typer.Option(metavar="KEY", help="Sort by gain, uses, weight or title."),
]


@priors.command("list")
def list_(
    task: TaskOption = None,
    sort: SortOption = "title",
    all_: Annotated[bool, typer.Option("--all", help="Include removed and rejected priors.")] = False,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """List the priors with their uses and gains over all runs."""
    from engine.priors.usage import PriorUse, use_over_runs
    from engine.runs.folder import all_runs

    folder = existing_folder(runs)
    with opened(task, warns=False) as collection:
        entries = collection.entries("active", "pending", *(("rejected", "removed") if all_ else ()))
        problems = problems_of(collection)
        uses = use_over_runs(collection, [run.folder for run in all_runs(folder)])
    rows = [(entry, uses.get(entry.id, PriorUse())) for entry in entries]
    trouble = trouble_by_prior(entries, problems)
    keys: dict[str, Any] = {
        "gain": lambda row: (row[1].gain is None, -(row[1].gain or 0), row[0].id),
        "uses": lambda row: (-row[1].shown, -row[1].given, row[0].id),
        "weight": lambda row: (-row[0].prior.weight, row[0].id),
        "title": lambda row: (row[0].prior.title.casefold(), row[0].id),
    }
    rows.sort(key=keys[sort])
    if json:
        print_json([whole(entry) | _figures(use) | {"problem": trouble.get(entry.id, "")} for entry, use in rows])
        return
    if not rows:
        _print_trouble(trouble, problems)
        print(f"There is no prior in {collection.folder} yet. 'evolve priors add FILE.md' adds one.")
        return
    print_table(
        ["id", "state", "weight", "rev", "shown", "used", "gain", "best path", f"last ({local_zone()})", "title"],
        [
            [
                entry.id, state_of(entry) + (" !" if entry.id in trouble else ""), f"{entry.prior.weight:g}",
                str(entry.prior.number), str(use.shown),
                str(use.given), "–" if use.gain is None else f"{use.gain:+.4g}",
                "–" if not use.share else f"{use.share:.0%}", local_time(use.last)[:10] if use.last else "–",
                one_line(entry.prior.title, 80),
            ]
            for entry, use in rows
        ],
        (f"last ({local_zone()})", "best path", "rev", "weight", "shown", "used"),
    )  # fmt: skip
    _print_trouble(trouble, problems)


def _print_trouble(trouble: dict[str, str], problems: list[Problem]) -> None:
    """Print what is wrong with priors, and with files that are none."""
    taken = {f"{prior}.md".casefold() for prior in trouble}
    told = {f"{prior}.md": text for prior, text in trouble.items()}
    told |= {problem.name: problem.text for problem in problems if problem.name.casefold() not in taken}
    for name, text in sorted(told.items()):
        print(visible(f"! {name}: {text}"))


def _figures(use: Any) -> dict[str, Any]:
    return {
        "shown": use.shown, "used": use.given, "gain": use.gain, "share": use.share, "last_used": iso(use.last),
        "last_revision": use.number,
    }  # fmt: skip


@priors.command()
def show(
    prior: PriorId,
    task: TaskOption = None,
    revision: Annotated[
        int | None, typer.Option(metavar="N", help="Revision to show; by default the newest.", min=1)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show a prior and its text."""
    with opened(task) as collection:
        entry = find(collection, prior)
        text = entry.prior.text if revision is None else collection.revision(entry.id, revision).text
    if json:
        print_json(whole(entry) | {"text": text})
        return
    print(f"{visible(entry.id)}: revision {revision or entry.prior.number}, {state_of(entry)}, {entry.origin}")
    if entry.former:
        print(f"formerly {visible(', '.join(entry.former))}")
    if entry.evidence.get("run"):
        nodes = ", ".join(f"#{node}" for node in entry.evidence.get("nodes", []))
        print(f"proposed by run {visible(str(entry.evidence['run']))} from {nodes or 'no single node'}")
    if entry.reason:
        print(f"rejected: {visible(entry.reason)}")
    print(f"\n{visible(text).rstrip()}")


@priors.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Markdown file; its name becomes the id.")],
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Add a new prior and print its id."""
    with opened(task) as collection:
        entry = collection.add(file.stem, read_text(file))
    warn_of_head(entry)
    if json:
        print_json(whole(entry))
    else:
        print(visible(entry.id))


@priors.command()
def edit(
    prior: PriorId,
    task: TaskOption = None,
    enable: Annotated[bool, typer.Option("--enable", help="Show it to designs again.")] = False,
    disable: Annotated[bool, typer.Option("--disable", help="Stop showing it to designs.")] = False,
    weight: Annotated[float | None, typer.Option(metavar="X", help="Weight in retrieval; by default 1.", min=0)] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="File with the new text.")] = None,
    json: JsonOption = False,
) -> None:
    """Change a prior; without options, edit its text in $EDITOR. The next round of a run uses it."""
    if enable and disable:
        raise UsageError("--enable and --disable exclude each other")
    with opened(task) as collection:
        entry = find(collection, prior)
        if file is not None:
            entry = collection.edit(entry.id, read_text(file))
        if weight is not None:
            entry = collection.set_weight(entry.id, weight)
        if enable or disable:
            entry = collection.set_enabled(entry.id, enable)
        if file is None and weight is None and not enable and not disable:
            entry = _edit_by_hand(collection, entry)
    warn_of_head(entry)
    tell(entry, json)


def _edit_by_hand(collection: Collection, entry: Entry) -> Entry:
    """Open a prior's text in the editor; if it cannot be saved, keep the draft and name its path."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UsageError("there is no editor: $EDITOR is not set", "Set it, or give the text with --file FILE")
    draft = Path(tempfile.mkdtemp(prefix="evolve-")) / f"{entry.id}.md"
    draft.write_text(entry.prior.text, encoding="utf-8")
    try:
        code = subprocess.run([*shlex.split(editor), str(draft)], check=False).returncode
    except (OSError, ValueError) as exc:
        raise UsageError(f"$EDITOR '{editor}' cannot be started: {exc}") from None
    if code:
        raise UsageError(f"$EDITOR '{editor}' ended with {code}: nothing was changed", f"The draft is {draft}")
    try:
        saved = collection.edit(entry.id, read_text(draft), entry.prior.number)
    except Conflict as exc:
        raise EvolveError(
            exc.message, f"Your text is kept in {draft}: merge it, then 'evolve priors edit {entry.id} --file {draft}'"
        ) from None
    except (PriorError, UsageError) as exc:
        raise UsageError(f"{exc}", f"Your text is kept in {draft}") from None
    draft.unlink()
    draft.parent.rmdir()
    return saved


@priors.command()
def remove(prior: PriorId, task: TaskOption = None, json: JsonOption = False) -> None:
    """Remove a prior and its file; the history stays, and restore brings it back."""
    with opened(task) as collection:
        entry = collection.remove(find(collection, prior).id)
    tell(entry, json)


@priors.command()
def restore(prior: PriorId, task: TaskOption = None, json: JsonOption = False) -> None:
    """Restore a removed prior, or one whose file is gone."""
    with opened(task) as collection:
        entry = collection.restore(find(collection, prior).id)
    tell(entry, json)


@priors.command()
def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text to look for: words, a lesson, a question.")],
    task: TaskOption = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Number of priors to show.", min=1)] = 10,
    json: JsonOption = False,
) -> None:
    """Find the enabled priors that match a text, best first, and say why."""
    from engine.priors.search import make_retriever
    from engine.settings.model import RetrievalSettings

    settings = RetrievalSettings()
    with opened(task) as collection:
        retriever = make_retriever(settings, collection.store.path)
        try:
            hits = retriever.search(collection.priors(), [text], limit, 0, settings.threshold, random.Random(0))
        finally:
            retriever.close()
    if retriever.problem:
        print(f"warning: found by words only: {visible(retriever.problem)}", file=sys.stderr)
    if json:
        print_json(
            [
                {
                    "id": hit.prior.id, "revision": hit.prior.number, "title": hit.prior.title,
                    "score": round(hit.score, 4), "why": hit.why,
                }
                for hit in hits
            ]
        )  # fmt: skip
        return
    if not hits:
        print("no prior matches")
        return
    print_table(
        ["id", "score", "title", "why"],
        [[hit.prior.id, f"{hit.score:.3f}", one_line(hit.prior.title, 50), hit.why] for hit in hits],
        wrap=True,
    )


@priors.command()
def history(prior: PriorId, task: TaskOption = None, json: JsonOption = False) -> None:
    """List the revisions of a prior, oldest first."""
    with opened(task) as collection:
        revisions = collection.history(find(collection, prior).id)
    if json:
        print_json([revision._asdict() | {"at": iso(revision.at)} for revision in revisions])
        return
    print_table(
        ["revision", f"at ({local_zone()})", "by", "bytes", "sha256", "message"],
        [
            [
                str(r.number),
                local_time(r.at),
                r.author,
                str(len(r.text.encode())),
                r.sha256[:8],
                one_line(r.message, 80),
            ]
            for r in revisions
        ],
    )  # fmt: skip


@priors.command()
def diff(
    prior: PriorId,
    old: Annotated[
        int | None, typer.Argument(metavar="OLD", help="Old revision; by default the one before.", min=1)
    ] = None,
    new: Annotated[
        int | None, typer.Argument(metavar="NEW", help="New revision; by default the newest.", min=1)
    ] = None,
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Print the diff of two revisions, by default the last two."""
    with opened(task) as collection:
        lines = collection.diff(find(collection, prior).id, old, new)
    if json:
        print_json({"id": prior, "diff": lines})
        return
    for line in lines:
        print(visible(line))


@priors.command()
def revert(
    prior: PriorId,
    revision: Annotated[
        int, typer.Argument(metavar="REVISION", help="The revision whose text becomes the newest.", min=1)
    ],
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Make the text of an earlier revision the newest revision."""
    with opened(task) as collection:
        entry = collection.revert(find(collection, prior).id, revision)
    tell(entry, json)


@priors.command()
def accept(
    prior: PriorId,
    task: TaskOption = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="File with a text to use instead.")] = None,
    json: JsonOption = False,
) -> None:
    """Accept a proposed prior, as it is or with another text."""
    with opened(task) as collection:
        entry = collection.accept(find(collection, prior).id, None if file is None else read_text(file))
    tell(entry, json)


@priors.command()
def reject(
    prior: PriorId,
    reason: Annotated[str, typer.Argument(metavar="REASON", help="The reason, for later readers.")] = "",
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Reject a proposed prior."""
    with opened(task) as collection:
        entry = collection.reject(find(collection, prior).id, reason)
    tell(entry, json)


@priors.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder of .md, a .md, a .jsonl, or ASI-Evolve's .json or .py.")
    ],
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Import exported priors; a prior that exists with another text gets a new revision."""
    from cognition.exchange import import_path

    with opened(task) as collection:
        done = import_path(collection, path)
    for why in done.refused:
        print(f"warning: {visible(why)}", file=sys.stderr)
    counts = {"added": len(done.added), "edited": len(done.edited), "already there": len(done.same)}
    if json:
        print_json({**msgspec.to_builtins(done)})
    else:
        print(", ".join(f"{count} {what}" for what, count in counts.items()) + f", {len(done.refused)} refused")


@priors.command("export")
def export_(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A new folder for .md files, a .jsonl, or a .json for ASI-Evolve.")
    ],
    force: ForceOption = False,
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Export the priors: as files, with their history (.jsonl), or for ASI-Evolve (.json)."""
    from cognition.exchange import export_folder, export_items, export_lines

    refuse_to_replace(path, force)
    with opened(task) as collection:
        try:
            if path.suffix in (".jsonl", ".json"):
                text = export_lines(collection) if path.suffix == ".jsonl" else export_items(collection)
                path.write_text(text, encoding="utf-8")
                count = len(collection.priors()) if path.suffix == ".json" else text.count("\n")
            else:
                count = export_folder(collection, path)
        except OSError as exc:
            raise UsageError(f"{path} cannot be written: {exc.strerror}") from None
    print_json({"path": str(path), "priors": count}) if json else print(f"{count} priors in {path}")
