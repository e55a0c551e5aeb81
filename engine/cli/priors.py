"""`evolve priors`: what people know of a task, and what came of it."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from cognition.collection import Collection
from cognition.entry import Entry
from cognition.prior import PriorError, check_text
from cognition.store import CognitionError, Conflict
from cognition.sync import Problem, Sync
from engine.cli.app import JsonOption, app, print_json
from engine.cli.look import print_table
from engine.errors import EvolveError, UsageError
from engine.text import one_line, visible
from engine.workspace import runs_folder

__all__: list[str] = []

priors = typer.Typer(
    name="priors",
    help="What people know: list, search, edit and judge the priors of a task.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(priors)

TaskOption = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", help="A built-in task, a task or run folder; the one used last by default."),
]
PriorId = Annotated[str, typer.Argument(metavar="ID", help="The prior's id, or its beginning.")]
SortOption = Annotated[Literal["gain", "uses", "weight", "title"], typer.Option(help="What to sort by.")]


@contextmanager
def _opened(task: str | None) -> Iterator[Collection]:
    """The collection that the command line means, files and base brought together before and after.

    Raises:
        EvolveError: there is none, or what the command does cannot be done.
    """
    from engine.priors import open_collection

    try:
        collection = open_collection(_place(task))
        try:
            _sync(collection)
            generation = collection.generation()
            yield collection
            if collection.generation() != generation:
                _sync(collection)
        finally:
            collection.store.close()
    except CognitionError as exc:
        raise EvolveError(exc.message, exc.hint) from None
    except PriorError as exc:
        raise UsageError(str(exc)) from None


def _sync(collection: Collection) -> None:
    for problem in Sync(collection).run().problems:
        print(f"warning: {_told(collection, problem)}", file=sys.stderr)


def _told(collection: Collection, problem: Problem) -> str:
    return visible(f"{collection.folder / problem.name}: {problem.text}" if problem.name else problem.text)


def _place(task: str | None) -> Any:
    """Where the priors are that `--task` means."""
    from cognition.store import Store
    from engine.journal import JournalReader
    from engine.priors import PriorPlace, base_path, place_of_run, place_of_task
    from engine.run import Run, fold_run
    from engine.task import find_task, load_task

    if task is not None and (Path(task) / "run.db").is_file():
        run = Run(Path(task).absolute())
        with JournalReader(run.db) as reader:
            return place_of_run(run, fold_run(reader))
    if task is not None:
        return place_of_task(load_task(find_task(task)))
    known = []
    if base_path().exists():
        with Store(base_path()) as store:
            known = store.collections()
    if not known:
        raise UsageError("no task's priors were used yet", "Say whose you mean with --task TASK")
    if len(known) > 1:
        print(f"priors of {visible(known[0].id)} (others: {_names(known[1:])})", file=sys.stderr)
    return PriorPlace(base_path(), known[0].id, known[0].name, known[0].folder)


def _names(known: list[Any]) -> str:
    return visible(", ".join(info.id for info in known[:5])) + (", …" if len(known) > 5 else "")


def _find(collection: Collection, name: str) -> Entry:
    """The prior of an id, or of the beginning of exactly one."""
    exact = collection.find(name)
    if exact is not None:
        return exact
    everything = collection.entries("active", "pending", "rejected", "removed")
    fitting = [entry for entry in everything if entry.id.startswith(name)]
    if len(fitting) > 1:
        raise UsageError(
            f"'{name}' fits several priors: {', '.join(e.id for e in fitting[:8])}", "Write more of the id"
        )
    return fitting[0] if fitting else collection.get(name)


def _state(entry: Entry) -> str:
    if entry.status != "active":
        return entry.status
    return "file is gone" if entry.gone else "on" if entry.prior.enabled else "off"


def _whole(entry: Entry) -> dict[str, Any]:
    prior = entry.prior
    return {
        "id": prior.id, "revision": prior.number, "sha256": prior.revision, "title": prior.title,
        "tags": list(prior.tags), "source": prior.source, "origin": entry.origin, "weight": prior.weight,
        "enabled": prior.enabled, "status": entry.status, "gone": entry.gone, "author": entry.author,
        "message": entry.message, "changed": _iso(entry.changed_at), "evidence": dict(entry.evidence),
        "reason": entry.reason, "former": list(entry.former),
    }  # fmt: skip


def _iso(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at / 1000)) if at else ""


def _tell(entry: Entry, json: bool) -> None:
    """What came of a change."""
    if json:
        print_json(_whole(entry))
    else:
        print(f"{visible(entry.id)}: revision {entry.prior.number}, {_state(entry)}, weight {entry.prior.weight:g}")


@priors.command("list")
def list_(
    task: TaskOption = None,
    sort: SortOption = "title",
    all_: Annotated[bool, typer.Option("--all", help="Removed and rejected ones too.")] = False,
    json: JsonOption = False,
) -> None:
    """List the priors with what came of them over the workspace's runs."""
    from engine.provenance import PriorUse, use_over_runs
    from engine.run import all_runs

    with _opened(task) as collection:
        entries = collection.entries("active", "pending", *(("rejected", "removed") if all_ else ()))
        uses = use_over_runs(collection, all_runs(runs_folder()))
    rows = [(entry, uses.get(entry.id, PriorUse())) for entry in entries]
    keys: dict[str, Any] = {
        "gain": lambda row: (row[1].gain is None, -(row[1].gain or 0), row[0].id),
        "uses": lambda row: (-row[1].shown, -row[1].given, row[0].id),
        "weight": lambda row: (-row[0].prior.weight, row[0].id),
        "title": lambda row: (row[0].prior.title.casefold(), row[0].id),
    }
    rows.sort(key=keys[sort])
    if json:
        print_json([_whole(entry) | _figures(use) for entry, use in rows])
        return
    if not rows:
        print(f"There is no prior in {collection.folder} yet. 'evolve priors add FILE.md' adds one.")
        return
    print_table(
        ["id", "state", "weight", "rev", "shown", "used", "gain", "best path", "last", "title"],
        [
            [
                entry.id, _state(entry), f"{entry.prior.weight:g}", str(entry.prior.number), str(use.shown),
                str(use.given), "–" if use.gain is None else f"{use.gain:+.4g}",
                "–" if not use.share else f"{use.share:.0%}", _iso(use.last)[:10] or "–",
                one_line(entry.prior.title, 80),
            ]
            for entry, use in rows
        ],
    )  # fmt: skip


def _figures(use: Any) -> dict[str, Any]:
    return {
        "shown": use.shown, "used": use.given, "gain": use.gain, "share": use.share, "last_used": _iso(use.last),
        "last_revision": use.number,
    }  # fmt: skip


@priors.command()
def show(
    prior: PriorId,
    task: TaskOption = None,
    revision: Annotated[int | None, typer.Option(help="Another revision than the newest.", min=1)] = None,
    json: JsonOption = False,
) -> None:
    """Show a prior with its text."""
    with _opened(task) as collection:
        entry = _find(collection, prior)
        text = entry.prior.text if revision is None else collection.revision(entry.id, revision).text
    if json:
        print_json(_whole(entry) | {"text": text})
        return
    print(f"{visible(entry.id)}: revision {revision or entry.prior.number}, {_state(entry)}, {entry.origin}")
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
    file: Annotated[Path, typer.Argument(help="A Markdown file; its name becomes the id.")],
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Take a new prior in, and print its id."""
    with _opened(task) as collection:
        entry = collection.add(file.stem, _read(file))
    if json:
        print_json(_whole(entry))
    else:
        print(visible(entry.id))


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        check_text(text)
        return text
    except PriorError as exc:
        raise UsageError(f"{file}: {exc}") from None
    except UnicodeDecodeError as exc:
        raise UsageError(f"{file} is no UTF-8 text: {exc.reason} at byte {exc.start}") from None
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {exc.strerror}") from None


@priors.command()
def edit(
    prior: PriorId,
    task: TaskOption = None,
    enable: Annotated[bool, typer.Option("--enable", help="Show it to designs again.")] = False,
    disable: Annotated[bool, typer.Option("--disable", help="Show it to no design.")] = False,
    weight: Annotated[float | None, typer.Option(help="What it weighs in retrieval; 1 by default.", min=0)] = None,
    file: Annotated[Path | None, typer.Option(help="Take its text from there.")] = None,
    json: JsonOption = False,
) -> None:
    """Change a prior: with no option, its text in $EDITOR. The next round of a run uses it."""
    if enable and disable:
        raise UsageError("--enable and --disable exclude each other")
    with _opened(task) as collection:
        entry = _find(collection, prior)
        if file is not None:
            entry = collection.edit(entry.id, _read(file))
        if weight is not None:
            entry = collection.set_weight(entry.id, weight)
        if enable or disable:
            entry = collection.set_enabled(entry.id, enable)
        if file is None and weight is None and not enable and not disable:
            entry = _edit_by_hand(collection, entry)
    _tell(entry, json)


def _edit_by_hand(collection: Collection, entry: Entry) -> Entry:
    """Have a person edit a prior's text; what cannot be saved is kept and named."""
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
        saved = collection.edit(entry.id, _read(draft), entry.prior.number)
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
    """Take a prior and its file out; its history stays for restore."""
    with _opened(task) as collection:
        entry = collection.remove(_find(collection, prior).id)
    _tell(entry, json)


@priors.command()
def restore(prior: PriorId, task: TaskOption = None, json: JsonOption = False) -> None:
    """Take a removed prior, or one whose file is gone, back as it was."""
    with _opened(task) as collection:
        entry = collection.restore(_find(collection, prior).id)
    _tell(entry, json)


@priors.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for: words, a lesson, a question.")],
    task: TaskOption = None,
    limit: Annotated[int, typer.Option(help="How many to show.", min=1)] = 10,
    json: JsonOption = False,
) -> None:
    """Find the enabled priors that a round would be shown for a text, best first, and why."""
    from engine.retrieval import make_retriever
    from engine.settings import RetrievalSettings

    settings = RetrievalSettings()
    with _opened(task) as collection:
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
        print("no prior fits")
        return
    print_table(
        ["id", "score", "title", "why"],
        [[hit.prior.id, f"{hit.score:.3f}", one_line(hit.prior.title, 50), hit.why] for hit in hits],
    )


@priors.command()
def history(prior: PriorId, task: TaskOption = None, json: JsonOption = False) -> None:
    """List the revisions of a prior, oldest first."""
    with _opened(task) as collection:
        revisions = collection.history(_find(collection, prior).id)
    if json:
        print_json([revision._asdict() | {"at": _iso(revision.at)} for revision in revisions])
        return
    print_table(
        ["revision", "at", "by", "bytes", "sha256", "message"],
        [
            [str(r.number), _iso(r.at), r.author, str(len(r.text.encode())), r.sha256[:8], one_line(r.message, 80)]
            for r in revisions
        ],
    )


@priors.command()
def diff(
    prior: PriorId,
    old: Annotated[int | None, typer.Argument(help="A revision; by default the one before.", min=1)] = None,
    new: Annotated[int | None, typer.Argument(help="Another; by default the newest.", min=1)] = None,
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Print the differences between two revisions, by default the last two."""
    with _opened(task) as collection:
        lines = collection.diff(_find(collection, prior).id, old, new)
    if json:
        print_json({"id": prior, "diff": lines})
        return
    for line in lines:
        print(visible(line))


@priors.command()
def revert(
    prior: PriorId,
    revision: Annotated[int, typer.Argument(help="The revision whose text becomes the newest.", min=1)],
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Go back to the text of an earlier revision, as a new one."""
    with _opened(task) as collection:
        entry = collection.revert(_find(collection, prior).id, revision)
    _tell(entry, json)


@priors.command()
def accept(
    prior: PriorId,
    task: TaskOption = None,
    file: Annotated[Path | None, typer.Option(help="Take its text from there.")] = None,
    json: JsonOption = False,
) -> None:
    """Take a proposed prior in, as it is or with another text."""
    with _opened(task) as collection:
        entry = collection.accept(_find(collection, prior).id, None if file is None else _read(file))
    _tell(entry, json)


@priors.command()
def reject(
    prior: PriorId,
    reason: Annotated[str, typer.Argument(help="Why, for whoever reads it later.")] = "",
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Turn a proposed prior down."""
    with _opened(task) as collection:
        entry = collection.reject(_find(collection, prior).id, reason)
    _tell(entry, json)


@priors.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A folder of .md files, a .md, a .jsonl, or ASI-Evolve's .json.")],
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Take in what was exported, here or elsewhere; what is there with another text gets a new revision."""
    from cognition.exchange import import_path

    with _opened(task) as collection:
        done = import_path(collection, path)
    for why in done.refused:
        print(f"warning: {visible(why)}", file=sys.stderr)
    counts = {"added": len(done.added), "edited": len(done.edited), "same": len(done.same)}
    if json:
        print_json({**msgspec.to_builtins(done)})
    else:
        print(", ".join(f"{count} {what}" for what, count in counts.items()) + f", {len(done.refused)} refused")


@priors.command("export")
def export_(
    path: Annotated[Path, typer.Argument(help="A new folder for .md files, a .jsonl, or a .json for ASI-Evolve.")],
    task: TaskOption = None,
    json: JsonOption = False,
) -> None:
    """Write the priors somewhere: as files, with their history (.jsonl), or for ASI-Evolve (.json)."""
    from cognition.exchange import export_folder, export_items, export_lines

    with _opened(task) as collection:
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
