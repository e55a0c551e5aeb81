"""The past of a run: its state, and the sampler and the designer, whose memories are folds of all events."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from engine.errors import UsageError
from engine.journal.events import SettingsChanged, TaskChanged
from engine.journal.reader import JournalReader
from engine.loop.memory import RunDesigner, RunSampler
from engine.loop.task_prompts import TaskPrompts
from engine.runs.changes import check_set
from engine.runs.folder import Run
from engine.settings.executor import ExecutorSettings
from engine.state.fold import apply, damage_named, first_state
from engine.state.run_state import RunState
from engine.task.spec import seed_texts

__all__ = ["Past", "recall_past"]


@dataclass(frozen=True)
class Past:
    """What an engine knows of a run before it changes anything."""

    reader: JournalReader
    last_command: int
    """The newest command: it and those before it were meant for an engine that is gone."""
    state: RunState
    prompts: TaskPrompts
    sampler: RunSampler
    designer: RunDesigner

    def executor(self) -> ExecutorSettings:
        """Return where evaluations run, with what a person has set while no engine was at work."""
        settings = self.state.settings
        for command in self.reader.pending():
            change = command.data.get("settings") if command.kind == "set" else None
            if isinstance(change, dict) and "executor" in change:
                with suppress(UsageError):  # the command is refused when it is carried out
                    settings = check_set(settings, {"executor": change["executor"]})
        return settings.executor


def recall_past(run: Run) -> Past:
    """Fold the past of a run.

    Raises:
        JournalError: the journal cannot be read, is damaged or holds no run.
        RunError: the settings ask for a model, and none is configured.
    """
    reader = JournalReader(run.db)
    try:
        return _recall(run, reader)
    except BaseException:
        reader.close()
        raise


def _recall(run: Run, reader: JournalReader) -> Past:
    last_command = reader.last_command()
    state = first_state(reader)
    # Sampler and designer fold the whole past as the task is now, not as it was before its copy was replaced.
    now = first_state(reader)
    with damage_named(reader.path):
        for kind in (TaskChanged, SettingsChanged):
            for event in reader.events_of(kind):
                apply(now, event)
    brief = now.start.files.get("brief.md", "")
    prompts = TaskPrompts(run.task / "prompts", reader.text(brief) if brief else "")
    seeds = seed_texts(now.start.files, now.spec, reader.text)
    sampler = RunSampler(state)
    recorded = [*now.start.files, *now.start.large_files]
    designer = RunDesigner(state, now.spec, seeds, prompts, now.settings, run.task, recorded)
    with damage_named(reader.path):
        for event in reader.events(after=state.seq):
            apply(state, event)
            sampler.apply(event, state)
            designer.apply(event, state)
    # Kinds that a newer version wrote are skipped when folding, but their places are taken.
    state.seq = reader.last_seq()
    return Past(reader, last_command, state, prompts, sampler, designer)
