"""Build a candidate in its sandbox before it is evaluated, and keep what was made for its next evaluations."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import msgspec

from engine.errors import RunError
from engine.evaluation.evaluator import Job, Outcome
from engine.evaluation.job import Build
from engine.programs.errors import ProgramError
from engine.programs.folders import split_files
from engine.task.snapshot import task_files
from engine.task.spec import TaskSpec, seed_paths

__all__ = ["Builds", "build_of", "tree_of"]

_KEPT_BYTES = 16 << 20
"""Most bytes of builds to keep."""
_EACH = 1 << 10
"""Bytes that a build counts beside its files: it may have made none."""
_DECODER = msgspec.json.Decoder(dict[str, str])


def build_of(spec: TaskSpec, folder: Path) -> Build | None:
    """Return how candidates of a task are built; None if they are not.

    Args:
        spec: the task.
        folder: its folder, in which its `files` lie.

    Raises:
        RunError: one of them cannot be read.
    """
    if spec.build is None:
        return None
    files = {PurePosixPath(file).name: _read(folder / file) for file in spec.build.files}
    return Build(tuple(spec.build.command), files, spec.limits_of_build(), tuple(spec.build.mounts))


def tree_of(spec: TaskSpec, folder: Path, code: str, recorded: Collection[str] = ()) -> dict[str, bytes] | None:
    """Return the files of a candidate that is a folder, with those of the seed that no design changes; else None.

    Args:
        spec: the task.
        folder: its folder.
        code: the candidate.
        recorded: the paths of all files in the folder, as recorded: one that is gone is told. By default those that
            are there.

    Raises:
        RunError: the candidate has no files that can be written to a folder, or a file of the seed cannot be read.
    """
    if not spec.program.files:
        return None
    seed = folder / "seed"
    present = [folder / name for name in recorded] or task_files(folder)
    fixed = {path.relative_to(seed).as_posix(): path for path in present if path.is_relative_to(seed)}
    own = set(seed_paths(fixed, spec))
    try:
        files = split_files(code)
    except ProgramError as exc:
        raise RunError(f"a program of this run cannot be evaluated: {exc.reason}") from None
    tree = {name: _read(path) for name, path in fixed.items() if name not in own and not _in_the_way(name, files)}
    return tree | {name: text.encode("utf-8", "surrogatepass") for name, text in files.items()}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise RunError(f"{path}, a file of the task, cannot be read: {exc.strerror}") from None


def _in_the_way(name: str, files: Iterable[str]) -> bool:
    """Tell whether a file would have to be a folder of one of these, or the other way round."""
    return any(path.startswith(f"{name}/") or name.startswith(f"{path}/") for path in files)


class Builds:
    """Build candidates. What was made of a program is kept for the same program alone, built the same way.

    Args:
        run: runs a build as an evaluation in the job's folder, and returns its outcome.
    """

    def __init__(self, run: Callable[[Job], Awaitable[Outcome]]) -> None:
        self._run = run
        self._kept: dict[str, dict[str, bytes]] = {}
        self._size = 0

    async def of(self, job: Job) -> dict[str, bytes] | Outcome:
        """Return what the build of a job's program makes, by name; its outcome if it failed.

        Args:
            job: an evaluation with a `build`.

        Raises:
            EvolveError: it could not run, for a reason other than the candidate.
            Stopping: the engine is ending.
        """
        assert job.build is not None
        key = _key(job, job.build)
        made = self._take(key)
        if made is None:
            folder, mounts = job.folder.with_name(f"{job.folder.name}-build"), list(job.build.mounts)
            first = replace(job, is_build=True, folder=folder, limits=job.build.limits, mounts=mounts, trusted=False)
            # What runs in the candidate's sandbox learns nothing of the data that judge it.
            first = replace(first, gpu=False, device="", seed=0, data_seed=0, sandbox_seed=0, settings={})
            outcome = await self._run(first)
            found = _unpacked(outcome.built) if outcome.status == "ok" else None
            if found is None:
                return _failed(outcome)
            made = found
            self._take(key)  # another evaluation of the same program may have built it meanwhile
        self._kept[key] = made
        self._size += _size(made)
        while self._size > _KEPT_BYTES and len(self._kept) > 1:
            self._take(next(iter(self._kept)))
        return made

    def _take(self, key: str) -> dict[str, bytes] | None:
        """Take what is kept of a program out; None if there is none."""
        made = self._kept.pop(key, None)
        self._size -= _size(made) if made is not None else 0
        return made


def _key(job: Job, build: Build) -> str:
    whole = hashlib.sha256()
    parts = [
        job.program.encode("utf-8", "surrogatepass"),
        job.suffix.encode(),
        *(word.encode() for word in build.command),
    ]
    for name, content in sorted({**build.files, **(job.tree or {})}.items()):
        parts += [name.encode(), content]
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def _size(made: dict[str, bytes]) -> int:
    return _EACH + sum(map(len, made.values()))


def _unpacked(text: str) -> dict[str, bytes] | None:
    """Return what a build made; None if its message is none, since a candidate may have written it."""
    try:
        found = {name: base64.b64decode(content, validate=True) for name, content in _DECODER.decode(text).items()}
    except ValueError:
        return None
    plain = all(name not in ("", ".", "..") and "/" not in name and "\0" not in name for name in found)
    return found if plain and len(found) <= 1000 else None


def _failed(outcome: Outcome) -> Outcome:
    if outcome.status == "ok":
        return replace(
            outcome, status="invalid", score=None, metrics={}, reason="the build sent what is no build", built=""
        )
    told = outcome.reason if "build" in outcome.reason else f"the build: {outcome.reason}"
    return replace(outcome, reason=told, built="")
