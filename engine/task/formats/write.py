"""Write a folder of another system out as a task of ours; its own files stay as they are, in the folder `task`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.task.formats.foreign import Foreign, outside_functions, read_text, task_name
from engine.task.spec import Limits
from engine.workspace import workspace

__all__ = ["Options", "converted_folder", "hidden_files", "write_foreign"]

_RUNTIME = Path(__file__).parent / "runtime"
_LARGEST = 2 << 30
"""Most bytes of a folder that is copied."""
_LINKED = 20 << 20
"""Files from this size on are linked, not copied, if the file systems are one."""
_BUILD_SECONDS = 1800.0
"""Seconds for building an image, beside the limit of the evaluation itself."""
_NAMED = 5
"""Most hidden files that are told by name."""
_TOOLS = frozenset({".git", ".venv", ".DS_Store", ".ipynb_checkpoints"})
"""Hidden files and folders in which no task keeps what it reads, as are those that end with `_cache`."""
_METRIC = {"ASI-Evolve": "eval_score"}


class Options:
    """What a person says beside the folder.

    Args:
        python: interpreter of evaluator and programs; empty for the engine's own.
        metric: the key of the score, if it is not the format's own.
    """

    def __init__(self, python: str = "", metric: str = "") -> None:
        self.python, self.metric = python, metric


def converted_folder(foreign: Foreign, options: Options) -> Path:
    """Return a task folder of ours with the same contents, made in the workspace unless it is there already.

    Raises:
        TaskError: the folder cannot be read, or the workspace cannot be written.
    """
    digest = hashlib.sha256(repr([options.python, options.metric, foreign.wrapper, foreign.settings]).encode())
    try:
        for name, path in [*_files(foreign.folder), *_runtime_files()]:
            digest.update(f"{name}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        digest.update(Path(__file__).read_bytes())
        target = workspace() / "converted" / f"{task_name(foreign.folder)}-{digest.hexdigest()[:16]}"
        if (target / "task.toml").is_file():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / "made"
            write_foreign(foreign, options, made)
            made.rename(target)
    except OSError as exc:
        if (target / "task.toml").is_file():
            return target  # another process made it meanwhile
        raise TaskError(f"{exc.filename or foreign.folder} cannot be read or written: {exc.strerror}") from None
    return target


def write_foreign(foreign: Foreign, options: Options, target: Path) -> None:
    """Write a folder out as a task of ours.

    Args:
        foreign: what it says.
        options: what a person says.
        target: the folder to make.

    Raises:
        OSError: it exists, or it cannot be written.
    """
    target.mkdir(parents=True)
    (target / "task.toml").write_text(_toml(foreign, options), encoding="utf-8")
    (target / "brief.md").write_text(foreign.brief + "\n", encoding="utf-8")
    if foreign.stub:
        (target / "seed.py").write_text(foreign.stub, encoding="utf-8")
    else:
        shutil.copyfile(foreign.seed, target / "seed.py")
    for name, path in _runtime_files():
        place = "evaluate.py" if name == foreign.wrapper else name
        if place == "evaluate.py" or name.startswith("shims/"):
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / place)
    for name, path in _files(foreign.folder):
        if name.startswith(tuple(f"{folder}/" for folder in foreign.hidden)):
            continue
        place_of = target / "task" / name
        place_of.parent.mkdir(parents=True, exist_ok=True)
        if path.stat().st_size >= _LINKED:
            try:
                os.link(path, place_of)
                continue
            except OSError:
                pass
        shutil.copyfile(path, place_of)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the regular files of a folder, sorted: nothing hidden, no cache, nothing that a link leads out to.

    Raises:
        TaskError: they are too large to be copied.
    """
    own = folder.resolve()
    size = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if any(part.startswith(".") or part == "__pycache__" for part in relative.parts) or not path.is_file():
            continue
        if not path.resolve().is_relative_to(own):
            continue
        size += path.stat().st_size
        if size > _LARGEST:
            raise TaskError(
                f"{folder} holds more than {_LARGEST >> 30} GiB, which is too much to take along with a run",
                "'evolve new NAME --from FOLDER' writes a task from a folder without its data; `mounts` names them",
            )
        yield relative.as_posix(), path


def hidden_files(folder: Path) -> list[str]:
    """Return what is to be told of the hidden files and folders, which are not taken along: one line, or none."""
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            if name.startswith(".") and name not in _TOOLS and not name.endswith("_cache"):
                found.append((Path(place) / name).relative_to(folder).as_posix())
        folders[:] = [name for name in folders if not name.startswith(".")]
    if not found:
        return []
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return [f"hidden files ({', '.join(sorted(found)[:_NAMED])}{more})"]


def _runtime_files() -> Iterator[tuple[str, Path]]:
    for path in sorted(_RUNTIME.rglob("*.py")):
        yield path.relative_to(_RUNTIME).as_posix(), path


def _toml(foreign: Foreign, options: Options) -> str:
    settings: dict[str, Any] = {"entry": foreign.entry.as_posix(), **foreign.settings}
    metric = _METRIC.get(foreign.format, "combined_score")
    if foreign.wrapper == "openevolve_evaluate.py":
        settings["features"] = foreign.run.get("sampler", {}).get("features", ["complexity", "diversity"])
        if options.metric:
            settings["metric"] = options.metric
    elif options.metric:
        metric = options.metric
    if foreign.format == "ASI-Evolve":
        settings["name"] = task_name(foreign.folder)
    table: dict[str, Any] = {
        "name": task_name(foreign.folder),
        "summary": f"a task of {foreign.format}",
        "direction": "maximize",
        "metric": metric,
        # These formats cannot say whether the same program may score differently.
        "noisy": "unknown",
    }
    if foreign.max_program_bytes is not None:
        table["max_program_bytes"] = foreign.max_program_bytes
    if options.python:
        table["python"] = options.python
    functions = [] if foreign.stub else outside_functions(read_text(foreign.seed))
    if functions:
        table["interface"] = {"functions": functions, "blocks": foreign.keep_blocks}
    if foreign.seconds is not None:
        table["limits"] = {"seconds": foreign.seconds}
    if foreign.wrapper == "container_evaluate.py":
        settings |= {"name": task_name(foreign.folder), "seconds": foreign.seconds, "memory_mb": Limits().memory_mb}
        table["evaluator"] = "container"
        # An image may have to be built first, and its files are large.
        table["limits"] = {"seconds": (foreign.seconds or 0.0) + _BUILD_SECONDS, "file_mb": 16_384, "processes": 512}
    table["settings"] = settings
    if foreign.run:
        table["run"] = foreign.run
    return f"# Made from a folder of {foreign.format}, whose files are in task/.\n" + _lines(table, "")


def _lines(table: Mapping[str, Any], path: str) -> str:
    """Return a table as TOML, plain values first."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    text = f"\n[{path}]\n" if path and plain else ""
    text += "".join(f"{_key(key)} = {_value(value)}\n" for key, value in plain.items())
    for key, value in table.items():
        if isinstance(value, Mapping):
            text += _lines(value, f"{path}.{_key(key)}" if path else _key(key))
    return text


def _key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "a").replace("-", "a").isalnum() else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON's strings, numbers and booleans are TOML's, but for DEL, which JSON leaves bare.
    return json.dumps(value).replace("\x7f", "\\u007f")
