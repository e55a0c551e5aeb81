"""The question to a person before code of a foreign task or run runs here; none after an agreement."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.journal.reader import JournalReader
from engine.runs import trust
from engine.runs.configure import asks_models, own_layers
from engine.runs.folder import Run
from engine.runs.reach import (
    NO_SANDBOX,
    UNCONFINED,
    Layer,
    check_way_out,
    paths_of_run,
    reach_of_run,
    reach_of_settings,
    reach_of_task,
)
from engine.settings.decode import deep_merge
from engine.settings.model import Settings, designs_by_command
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from engine.task.load import BUILTIN_TASKS
from engine.task.snapshot import content_digest, read_copy
from engine.task.spec import Task, TaskSpec
from engine.text import counted, legible, one_line

__all__ = ["NotTrusted", "Review", "agree_to_change", "agree_to_run"]
__all__ += ["review_campaign", "review_run", "review_task"]

_MOST_OF_A_LINE = 400


@dataclass(frozen=True)
class Review:
    """The subject of the question."""

    what: str
    """The source of the code: a task and its folder, or a run."""
    reason: str
    """Why it is asked about, the predicate of a sentence."""
    facts: tuple[tuple[str, str], ...]
    """Facts that every task has, as label and text: confinement, models, limits."""
    reach: tuple[str, ...]
    """Its reach, one line each."""
    new: frozenset[str]
    """The lines of it that were not agreed to yet."""
    digest: str
    where: Path
    """The task folder, or the run's folder."""
    is_folder: bool
    """Whether it is a task folder, which a person may call their own."""
    was_own: bool = False
    """Whether a person has called it their own; then only the reach is asked about."""

    def agree(self, own: bool = False) -> None:
        """Record that the person agrees.

        In a folder of the person's own that holds for whatever its files become, but for an evaluator that runs
        unconfined: without `own` it is agreed to by content there, too.

        Args:
            own: the person edits this task folder, and agrees to whatever its files become.

        Raises:
            RunError: the workspace cannot be written.
        """
        if own:
            trust.own(self.where, self.reach)
        elif not self.was_own:
            trust.agree(self.digest, self.reach, self.where, self.is_folder)
        else:
            lasting = set(self.reach)
            if UNCONFINED & self.new:
                lasting -= UNCONFINED
                trust.agree(self.digest, self.reach, self.where, self.is_folder)
            trust.own(self.where, lasting)

    @property
    def why(self) -> str:
        """Why it is asked about, one sentence without its full stop."""
        return f"{self.what} {self.reason}"

    @property
    def may_be_own(self) -> bool:
        """Whether the person may call it their own, so that only more reach is asked about."""
        return self.is_folder and (not self.was_own or bool(UNCONFINED & self.new))

    @property
    def summary(self) -> str:
        """Its reach on one line; empty if there is none."""
        return one_line("; ".join(self.reach), _MOST_OF_A_LINE)


class NotTrusted(UsageError):
    """Foreign code is not run, because no person has agreed to it.

    Args:
        review: the question.
    """

    def __init__(self, review: Review) -> None:
        more = f". Beyond what every task may: {review.summary}" if review.reach else ""
        super().__init__(
            f"{review.why}, so none of its code is run{more}",
            "If you trust it, add --trust; in a terminal, without --headless, --detach and --json, you see what it may "
            "do and are asked",
        )
        self.review = review


def review_task(task: Task, settings: Settings, own: Sequence[Layer]) -> Review | None:
    """Return the question to answer before a task folder's code runs; None if it was agreed to.

    Built-in tasks need no agreement.

    Args:
        task: the folder, read and checked.
        settings: those of its next run.
        own: the tables of settings that a person wrote.

    Raises:
        TaskError: a file cannot be kept.
        OSError: a file cannot be read.
    """
    folder = task.origin or task.folder
    named = f"the task in {legible(str(folder))}"
    is_builtin = folder.parent == BUILTIN_TASKS
    reach = frozenset(reach_of_settings(settings, own)) if is_builtin else reach_of_task(task, settings, own)
    mine = frozenset[str]() if is_builtin else trust.own_reach(folder)
    if mine is not None and reach <= mine:
        return None
    copy = read_copy(task.folder)
    digest = content_digest(copy.files, copy.large_files)
    agreed = trust.agreed(digest)
    if mine is None and not _has_sandbox(agreed):
        reach |= {NO_SANDBOX}
    if agreed is not None and reach <= agreed:
        return None
    known = frozenset({*(agreed or ()), *(mine or ())})
    if agreed is not None or mine is not None:
        reason = "may do more than you agreed to"
    elif trust.last_agreed(folder) is not None:
        reason = "has other files than those you agreed to"
    else:
        reason = "has never been run here"
    size = sum(map(len, copy.blobs)) + sum(int(note.split(" ", 2)[1]) for note in copy.large_files.values())
    files = f"{counted(len(copy.files) + len(copy.large_files), 'file')}, {size:,} bytes"
    facts = _facts(task.spec, settings, f"{files}, SHA-256 {digest[:16]}")
    return Review(
        what=named, reason=reason, facts=facts, reach=_in_order(reach), new=reach - known, digest=digest,
        where=folder, is_folder=not is_builtin, was_own=mine is not None,
    )  # fmt: skip


def review_run(run: Run, state: RunState | None = None) -> Review | None:
    """Return the question to answer before a run goes on here; None if it was agreed to.

    A run that was made here was agreed to then.

    Args:
        run: the run.
        state: the run as it stands, if that is known.

    Raises:
        JournalError: the journal cannot be read.
        UsageError: its programs could read folders of this machine and send texts to an endpoint of its own.
    """
    with JournalReader(run.db) as reader:
        state = state or fold_run(reader)
        waiting = [command.data.get("settings") for command in reader.pending() if command.kind == "set"]
    settings = state.settings
    for table in waiting:
        settings = _changed(settings, table if isinstance(table, dict) else {})
    own = own_layers(())
    reach = reach_of_run(state, settings, own)
    digest = _digest_of(state)
    agreed = trust.agreed(digest)
    if not _has_sandbox(agreed):
        reach |= {NO_SANDBOX}
    if agreed is not None and reach <= agreed:
        return None
    check_way_out(paths_of_run(state), settings, own)
    named = f"run '{legible(run.name)}'"
    reason = "was not made here" if agreed is None else "may do more than you agreed to"
    facts = _facts(
        state.spec, settings, f"{counted(len(state.start.files), 'file')} of its task, SHA-256 {digest[:16]}"
    )
    return Review(
        what=named, reason=reason, facts=facts, reach=_in_order(reach), new=reach - (agreed or frozenset()),
        digest=digest, where=run.folder, is_folder=False,
    )  # fmt: skip


def review_campaign(path: Path, cases: Sequence[tuple[Settings, Task]]) -> Review | None:
    """Return the question to answer before what a campaign's file brings runs here; None if it was agreed to.

    A file may come from anywhere: a command, an endpoint or a cluster that it names, and config.toml does not, is asked
    about as one of a task is. An agreement holds for what it may do, whatever else is changed in the file.

    Args:
        path: the file.
        cases: the settings of its runs, each with the task, which is asked about by itself.
    """
    reach = frozenset(
        line for settings, task in cases for line in reach_of_settings(settings, own_layers([("task", task.spec.run)]))
    )
    if not reach:
        return None
    digest = hashlib.sha256("\n".join(["campaign", *sorted(reach)]).encode("utf-8", "surrogatepass")).hexdigest()
    if trust.agreed(digest) is not None:
        return None
    names = sorted({settings.command.label for settings, _ in cases if designs_by_command(settings)})
    return Review(
        what=f"the campaign in {legible(str(path.absolute()))}",
        reason="names what you have not agreed to",
        facts=(("commands", one_line(", ".join(names), _MOST_OF_A_LINE) or "none"), ("hooks", "no file can bring any")),
        reach=_in_order(reach),
        new=reach,
        digest=digest,
        where=path.absolute(),
        is_folder=False,
    )


def agree_to_run(state: RunState, folder: Path) -> None:
    """Record that a person makes a run, or gives one another task, and so agrees to it.

    Args:
        state: the run.
        folder: its folder.

    Raises:
        RunError: the workspace cannot be written.
    """
    source = Path(state.start.source)
    reach = reach_of_run(state, state.settings, ())
    if source.parent == BUILTIN_TASKS or trust.own_reach(source) is not None or not _has_sandbox(None):
        reach |= {NO_SANDBOX}
    trust.agree(_digest_of(state), reach, folder)


def agree_to_change(run: Run, state: RunState, change: Mapping[str, Any]) -> None:
    """Record that a person gives a run other settings: what they name is agreed to, if the run was.

    Args:
        run: the run that gets them.
        state: the run, or the one that it is forked from, before the change.
        change: settings, nested as in `Settings`.

    Raises:
        RunError: the workspace cannot be written.
    """
    if change.keys().isdisjoint(("models", "retrieval", "command")):
        return
    digest = _digest_of(state)
    agreed = trust.agreed(digest)
    if agreed is not None and reach_of_run(state, state.settings, own_layers(())) <= agreed:
        trust.agree(digest, reach_of_run(state, _changed(state.settings, change), ()), run.folder)


def _digest_of(state: RunState) -> str:
    return content_digest(state.start.files, state.start.large_files)


def _has_sandbox(agreed: frozenset[str] | None) -> bool:
    """Return whether this machine confines evaluations, or whether that was agreed to be of no matter."""
    if agreed is not None and NO_SANDBOX in agreed:
        return True
    # Lazy: a built-in task, and a folder of one's own, start without it.
    from engine.evaluation.sandbox import find_sandbox

    return find_sandbox().name != "limits"


def _changed(settings: Settings, change: Mapping[str, Any]) -> Settings:
    """Return settings with a change; one that does not fit is refused where it is applied."""
    try:
        return msgspec.convert(deep_merge(msgspec.to_builtins(settings), change), Settings)
    except msgspec.ValidationError:
        return settings


def _in_order(reach: frozenset[str]) -> tuple[str, ...]:
    """Return what matters most first."""
    return tuple(sorted(reach, key=lambda line: (line not in UNCONFINED, line != NO_SANDBOX, line)))


def _facts(spec: TaskSpec, settings: Settings, content: str) -> tuple[tuple[str, str], ...]:
    """Return what every task has, as label and text."""
    from engine.evaluation.sandbox import find_sandbox

    sandbox = find_sandbox()
    confined = {
        "bubblewrap": "confined by bubblewrap: no network, no home folder, files read-only",
        "landlock": "confined by Landlock: no network, none of your files",
        "limits": "NOT CONFINED: this machine has no sandbox, so it can do all that you can",
    }[sandbox.name]
    contained = spec.evaluator == "container"
    network = "none" if sandbox.name != "limits" or sandbox.seccomp else "OPEN: this machine has no filter"
    apart = "the evaluator never loads them (guarded)" if spec.guarded else "the evaluator loads them (open)"
    around = "not confined" if sandbox.name == "limits" else f"confined by {sandbox.name}"
    asked = settings.models if asks_models(settings) else {}
    models = [f"{name} ({model.model}) at {model.base_url or 'OpenAI'}" for name, model in asked.items()]
    if designs_by_command(settings) and not settings.answers:
        models.append(f"the command {settings.command.label}{', network OPEN' if settings.command.network else ''}")
    limits = spec.limits
    spend = "no limit of dollars" if settings.usd is None else f"at most {settings.usd:g} dollars"
    each = f"{limits.seconds:g} s, {limits.memory_mb:,} MiB, {limits.processes} processes an evaluation"
    return (
        ("evaluator", "UNCONFINED, as its task asks: it can do all that you can" if spec.unconfined else confined),
        ("candidates", "run in containers that the evaluator starts" if contained else f"{around}; {apart}"),
        ("interpreter", one_line(spec.python or "that of this program", 200)),
        ("network", "OPEN for the evaluator" if spec.unconfined else network),
        ("prompts", one_line("; ".join(models), _MOST_OF_A_LINE) or "no model gets any"),
        ("hooks", "no task can bring any"),
        ("limits", f"{each}; {settings.rounds:,} rounds" + (f", {spend}" if asked else "")),
        ("content", content),
    )
