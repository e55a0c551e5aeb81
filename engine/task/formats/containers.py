"""Tasks whose evaluator needs a container: Harbor's, and SkyDiscover's with a Dockerfile and evaluate.sh.

The contract of SkyDiscover: `evaluate.sh PROGRAM train` in the image prints JSON with `combined_score`. That of Harbor:
`/tests/test.sh` writes /logs/verifier/reward.json or reward.txt; the program stands where the instruction says.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from engine.errors import TaskError
from engine.settings.decode import read_toml
from engine.task.formats import openevolve
from engine.task.formats.foreign import Foreign, number, program_in, read_text, table

__all__ = ["find_tool", "is_harbor", "read", "refuse", "sign"]

_TOOLS = ("docker", "podman")
_ANSWER_SECONDS = 20.0
_HARBOR_SECONDS = 600.0
_ENDINGS = r"\.(?:py|sh|js|ts|cpp|c|rs|go|java|rb)"
_STUB = "# Write the program here: the task brings none to start from.\n"


def sign(folder: Path) -> str:
    """Return by what the format is known; empty if the folder is of another."""
    if is_harbor(folder):
        return "instruction.md, tests/test.sh and environment/Dockerfile"
    place = _place(folder)
    return f"{(place / 'Dockerfile').relative_to(folder)} and evaluate.sh" if place is not None else ""


def is_harbor(folder: Path) -> bool:
    """Return whether a folder holds a task of Harbor; it has a task.toml of its own."""
    return all((folder / name).is_file() for name in ("instruction.md", "tests/test.sh", "environment/Dockerfile"))


def _place(folder: Path) -> Path | None:
    for place in (folder, folder / "evaluator"):
        if (place / "Dockerfile").is_file() and (place / "evaluate.sh").is_file():
            return place
    return None


def refuse(folder: Path) -> None:
    """Refuse a folder whose evaluation needs a container, since nobody asked for one.

    Raises:
        TaskError: it does.
    """
    if sign(folder):
        what = "Harbor" if is_harbor(folder) else "SkyDiscover"
        raise TaskError(
            f"{folder} is a {what} task that is evaluated in a container, and containers are started only if asked for",
            "--container starts them with docker or podman; they get no network unless you add --container-network",
        )


def find_tool() -> str:
    """Return the name of the first program for containers that answers.

    Raises:
        TaskError: none does.
    """
    problems = []
    for name in _TOOLS:
        path = shutil.which(name)
        if path is None:
            problems.append(f"{name} is not on PATH")
            continue
        try:
            done = subprocess.run(
                [path, "info"], capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as exc:
            problems.append(f"{name}: {exc}")
            continue
        if done.returncode == 0:
            return name
        problems.append(f"{name}: {' '.join((done.stderr.strip().splitlines() or ['it fails'])[-1].split())}")
    raise TaskError(f"no program for containers answers: {'; '.join(problems)}", "Start docker, or install podman")


def read(folder: Path, tool: str, network: bool) -> Foreign:
    """Return what the folder says.

    Args:
        folder: the folder.
        tool: `docker` or `podman`.
        network: whether the containers get a network.

    Raises:
        TaskError: a part of it is wrong.
    """
    foreign = _read_harbor(folder) if is_harbor(folder) else _read_skydiscover(folder)
    foreign.settings |= {"tool": tool, "network": network}
    reached = "with the network" if network else "without network"
    foreign.taken.append(f"containers: started with {tool}, {reached}; an image is built at the first evaluation")
    return foreign


def _read_skydiscover(folder: Path) -> Foreign:
    place = _place(folder)
    assert place is not None
    foreign = Foreign(
        format="SkyDiscover",
        why=sign(folder),
        folder=folder,
        seed=openevolve.seed_in(folder),
        brief="",
        entry=(place / "evaluate.sh").relative_to(folder),
        wrapper="container_evaluate.py",
    )
    found = openevolve.take_settings(foreign)
    foreign.seconds = number(table(found, "evaluator").get("timeout"), 0.001) or openevolve.SECONDS
    foreign.settings |= {"kind": "skydiscover", "context": place.relative_to(folder).as_posix()}
    return foreign


def _read_harbor(folder: Path) -> Foreign:
    programs = program_in(folder, "initial_program")
    path = _program_path(folder)
    if not path.endswith(".py"):
        raise TaskError(
            f"{folder} asks for {path}, a program in another language than Python, which is not supported yet"
        )
    foreign = Foreign(
        format="Harbor",
        why=sign(folder),
        folder=folder,
        seed=openevolve.seed_in(folder) if programs else Path(),
        brief=read_text(folder / "instruction.md").strip(),
        entry=Path("tests/test.sh"),
        wrapper="container_evaluate.py",
        hidden=("solution",),
    )
    if not programs:
        foreign.stub = _STUB
        foreign.taken.append("program: an empty one, since the task brings none")
    foreign.taken.append(f"the program's place in the container: {path}")
    settings: dict[str, Any] = read_toml(folder / "task.toml", TaskError) if (folder / "task.toml").is_file() else {}
    foreign.seconds = number(table(settings, "verifier").get("timeout_sec"), 0.001) or _HARBOR_SECONDS
    foreign.settings |= {"kind": "harbor", "context": "environment", "path": path}
    unused = sorted(set(settings) - {"verifier", "version"})
    foreign.ignored += [f"task.toml: {', '.join(unused)}"] if unused else []
    return foreign


def _program_path(folder: Path) -> str:
    """Return where the container has the program: as the solution writes it, else as the instruction names it."""
    solve = folder / "solution" / "solve.sh"
    if solve.is_file():
        text = read_text(solve)
        found = re.search(rf">\s*[\"']?(/[^\s\"']+{_ENDINGS})", text)
        if found:
            return found[1]
        relative = re.search(rf"cat\s+>\s*[\"']?([^\s/\"'$][^\s\"'$]*{_ENDINGS})", text)
        if relative:
            return f"{_base(folder, text)}/{relative[1]}"
    text = read_text(folder / "instruction.md")
    for pattern in (rf"[`\"'](/[^\s`\"']+{_ENDINGS})[`\"']", rf"(?:in|at|to|into)\s+(/\S+{_ENDINGS})"):
        found = re.search(pattern, text)
        if found:
            return found[1]
    return "/app/solution.py"


def _base(folder: Path, text: str) -> str:
    """Return the folder that a relative path of solve.sh starts at: where it changes to, else the image's own."""
    for pattern in (r'(?m)cd\s+"?(/[^"$\s]+)"?\s*$', r'(?m)[A-Z_]+=\s*"?(/[^"$\s]+)"?\s*$'):
        found = re.search(pattern, text)
        if found:
            return found[1].rstrip("/")
    places = re.findall(r"(?m)^WORKDIR\s+(/\S+)", read_text(folder / "environment" / "Dockerfile"))
    return str(places[-1]).rstrip("/") if places else "/workspace"
