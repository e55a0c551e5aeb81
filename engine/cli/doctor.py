"""`evolve doctor`: check this machine and advise what to change."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.app import JsonOption, RunsOption, app, fail, folder_of, print_json
from engine.cli.doctor_models import Check, check_calls, check_environment, check_models, check_prices
from engine.cli.options import Address, ExecutorOption, place_of
from engine.errors import EvolveError, UsageError
from engine.evaluation.cgroups import configured_cgroups
from engine.evaluation.errand import lack_of, program_path
from engine.evaluation.gpus import list_gpus
from engine.evaluation.sandbox import find_sandbox, in_memory
from engine.evaluation.warm_trial import find_cold_reason
from engine.runs.configure import configured, model_table
from engine.settings.model import merge_settings
from engine.text import one_line
from engine.workspace import network_file_system, workspace

__all__: list[str] = []

_LOW_SPACE = 1 << 30


@app.command()
def doctor(
    runs: RunsOption = None,
    json: JsonOption = False,
    call: Annotated[
        bool, typer.Option("--call", help="Ask each model once in each role, shortly; this costs what the calls cost.")
    ] = False,
    model: Annotated[str, typer.Option(metavar="NAME", help="Check this model in place of the configured ones.")] = "",
    base_url: Annotated[str, typer.Option(metavar="URL", help="Address of that model's endpoint.")] = "",
    executor: ExecutorOption = None,
    address: Address = None,
) -> None:
    """Check terminal, sandbox, disk, Python and models, and advise what to change."""
    if base_url and not model:
        raise UsageError("--base-url needs --model NAME, the model's name at the endpoint")
    folder = folder_of(runs)
    checks = [_python(), _sandbox(), _starts(), _limits(), _disk(folder), _file_system(folder), _gpus(),
              _torch(), *_models(call, model, base_url), check_prices(), *_command(), _embedder(), _settings(),
              _terminal(), _lingering(), *_cluster(executor, address)]  # fmt: skip
    if json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            print(f"{check.state:4}  {check.name}: {check.found}")
            if check.advice:
                print(f"      {check.advice}")
    fail(1 if any(check.state == "bad" for check in checks) else 0)


def _python() -> Check:
    found = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {len(os.sched_getaffinity(0))} cores"
    return Check("python", "ok", found)


def _cluster(executor: str | None, address: str | None) -> list[Check]:
    """The cluster that the settings name, if they name one."""
    try:
        settings = merge_settings(("config.toml", configured()), ("command line", place_of(executor, address))).executor
    except UsageError:
        return []  # told with the settings
    if settings.name == "local":
        return []
    if settings.name == "slurm":
        from engine.cli.doctor_slurm import check_slurm

        return asyncio.run(check_slurm(settings))
    from engine.cli.doctor_cluster import check_cluster

    return asyncio.run(check_cluster(settings))


def _sandbox() -> Check:
    try:
        sandbox = find_sandbox()
    except EvolveError as exc:
        return Check("sandbox", "bad", exc.message, exc.hint)
    if not sandbox.path:
        held = f"landlock, version {sandbox.landlock}" if sandbox.landlock else "limits only"
        worth = (
            "candidates can neither read your files nor forge results, but see names and sizes of files"
            if sandbox.guards
            else "candidates can forge results"
            if sandbox.landlock
            else "candidates can read and change your files and forge results"
        )
        found = f"{held}, {worth}: {'; '.join([sandbox.reason, *sandbox.lacks])}"
        return Check("sandbox", "note", one_line(found, 600), one_line(sandbox.advice, 600))
    filtered = ", and the kernel filters their system calls" if sandbox.seccomp else ""
    found = f"{sandbox.label} works: candidates see neither your files nor the network{filtered}"
    missed = "; ".join(["", *sandbox.lacks])
    passed = f"; passed over: {sandbox.reason}" if sandbox.reason else ""
    state = "note" if sandbox.advice or sandbox.lacks else "ok"
    return Check("sandbox", state, one_line(found + missed + passed, 600), sandbox.advice)


def _starts() -> Check:
    """How evaluators and candidates start."""
    try:
        reason = asyncio.run(find_cold_reason())
    except EvolveError as exc:
        return Check("start", "bad", exc.message, exc.hint)
    if reason:
        cold = "evaluators and candidates start cold, an interpreter each, which costs two to three times the CPU time"
        return Check("start", "note", one_line(f"{cold}: {reason}", 600), "")
    found = (
        "from the second evaluation on, evaluators and candidates are forked into fresh namespaces; those with a GPU, "
        "another interpreter, a build or an unconfined evaluator start cold"
    )
    return Check("start", "ok", found, "")


def _limits() -> Check:
    """Which limits of an evaluation the kernel itself holds here."""
    try:
        groups, sandbox = configured_cgroups(), find_sandbox()
    except EvolveError as exc:
        return Check("limits", "bad", exc.message, exc.hint)
    files = "scratch, /tmp and /dev/shm are in memory, bounded in bytes and files" if in_memory(sandbox) else ""
    files = files or "what lies in the scratch folder is counted by looking, and files elsewhere are not"
    if not groups.parents:
        passed = (
            f"no cgroup ({groups.reason}): memory, processes and CPU are counted by looking at /proc, which misses "
            "shared memory that no process has touched, buffers of sockets and very short-lived children"
        )
        return Check("limits", "note", f"{one_line(passed, 400)}; {files}", groups.advice)
    lacks = f"; not bounded by it: {', '.join(groups.missing)}" if groups.missing else ""
    found = (
        f"a cgroup ({groups.version}) bounds each evaluation's memory and processes and counts its CPU{lacks}; {files}"
    )
    return Check("limits", "note" if lacks else "ok", found, groups.advice)


def _disk(folder: Path) -> Check:
    path = folder.absolute()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    if not os.access(path, os.W_OK):
        return Check("disk", "bad", f"{path} cannot be written", "Set EVOLVE_HOME to a folder of your own")
    if free < _LOW_SPACE:
        return Check("disk", "note", f"{free / 1e6:.0f} MB free in {path}", "A run needs about 10 MB per 1,000 rounds")
    return Check("disk", "ok", f"{free / 1e9:.1f} GB free in {path}")


def _file_system(folder: Path) -> Check:
    kind = network_file_system(folder)
    if kind:
        advice = "Set EVOLVE_HOME to a local folder, or use --runs DIR"
        return Check("runs", "bad", f"{folder} is on a network file system ({kind})", advice)
    return Check("runs", "ok", f"{folder}, workspace {workspace()}")


def _torch() -> Check:
    if find_spec("torch") is None:
        return Check("torch", "note", "not installed", "Tasks that train need it: pip install 'asi-evolve-tui[torch]'")
    return Check("torch", "ok", f"installed; triton {'installed' if find_spec('triton') else 'not installed'}")


def _models(call: bool, only: str, base_url: str) -> list[Check]:
    """Check each configured model, or the one named, and what the environment does to requests; with `call` ask it."""
    try:
        name, table = model_table(only, base_url) if only else ("", {})
        models = merge_settings(
            ("config.toml", configured()), ("command line", {"models": {name: table}} if only else {})
        ).models
        models = {name: models[name]} if only else models
    except EvolveError as exc:
        return [Check("models", "bad", exc.message, exc.hint)]
    if not models:
        advice = "Without one the designer is 'recombine'; --model and --base-url, or [models.NAME] in config.toml"
        return [Check("models", "ok", "none configured", advice), check_environment([])]
    return [check_environment(models.values()), *check_models(models), *(check_calls(models) if call else [])]


def _command() -> list[Check]:
    """The command that designs, if config.toml names one."""
    try:
        settings = merge_settings(("config.toml", configured())).command
    except UsageError:
        return []  # told with the models
    if not settings.run:
        return []
    lack = lack_of(settings)
    if lack:
        return [Check("command", "bad", one_line(lack, 600), "Correct [command] in config.toml")]
    given = f", gets {', '.join(settings.environment)}" if settings.environment else ""
    found = one_line(f"{program_path(settings)}, {settings.seconds:g} s a design{given}", 600)
    if settings.network:
        advice = "It reaches what you reach, services of this machine included; network = false in [command] closes it"
        return [Check("command", "note", f"{found}, with the network OPEN", advice)]
    return [Check("command", "ok", f"{found}, without network")]


def _gpus() -> Check:
    try:
        gpus = list_gpus()
    except EvolveError as exc:
        return Check("gpu", "bad", exc.message, exc.hint)
    if not gpus:
        return Check("gpu", "note", "none found", "Tasks that need a GPU will not start; other tasks need none")
    told = [f"{g.index} {g.name} {g.memory_mb / 1024:.0f} GiB{' (held by a run)' if g.busy else ''}" for g in gpus]
    return Check("gpu", "ok", ", ".join(told))


def _embedder() -> Check:
    """Try the embedder that a new run would use to find priors."""
    from cognition.embedders import EmbedderError, make_embedder, make_finer

    try:
        wanted = merge_settings(("config.toml", configured())).retrieval
    except EvolveError as exc:
        return Check("embedder", "bad", exc.message, exc.hint)
    if wanted.embedder == "off":
        return Check("embedder", "ok", "off: priors are found by their words only, as config.toml says")
    embedder, problem = make_embedder(wanted.embedder, wanted.model, wanted.base_url, wanted.key_env)
    if embedder is None:
        return Check("embedder", "note", f"priors are found by their words only: {problem}", "pip install wordllama")
    finer, lacking = make_finer(wanted.embedder)
    if lacking:
        return Check("embedder", "note", f"priors are found without MiniLM: {lacking}")
    embedder = finer or embedder
    try:
        size = embedder.embed(["a prior"]).shape[1]
    except EmbedderError as exc:
        advice = "See [run.retrieval] in config.toml" if wanted.embedder != "auto" else ""
        return Check("embedder", "bad", f"priors are found by their words only: {exc}", advice)
    finally:
        embedder.close()
    return Check("embedder", "ok", f"{embedder.name} works, {size} dimensions")


def _terminal() -> Check:
    term, colours = os.environ.get("TERM", "unset"), os.environ.get("COLORTERM", "unset")
    if not sys.stdout.isatty():
        return Check("terminal", "ok", "none: output goes to a file or a pipe")
    size = os.get_terminal_size(sys.stdout.fileno())
    found = [f"TERM={term}", f"COLORTERM={colours}", f"{_colours(term, colours)}", f"{size.columns}x{size.lines}"]
    advice = []
    if term in ("unset", "dumb"):
        advice.append("the application needs a terminal that can move its cursor: set TERM")
    if size.columns < 80 or size.lines < 24:
        advice.append("the application needs 80x24 or more")
    if os.environ.get("TMUX"):
        found.append(f"inside {_ask_tmux('-V') or 'tmux'}, set-clipboard {_clipboard() or 'unknown'}")
        advice += _tmux_advice()
    return Check("terminal", "note" if advice else "ok", ", ".join(found), "; ".join(advice))


def _colours(term: str, colours: str) -> str:
    """Return which colours the application draws with."""
    if os.environ.get("NO_COLOR"):
        return "no colours (NO_COLOR)"
    if colours in ("truecolor", "24bit"):
        return "all colours"
    return "256 colours" if "256" in term else "16 colours"


def _settings() -> Check:
    from tui.settings import read_settings

    path = workspace() / "config.toml"
    try:
        read_settings(path)
    except EvolveError as exc:
        return Check("settings", "bad", exc.message, "Correct the file: the application does not start with it")
    return Check("settings", "ok", f"{path}{'' if path.exists() else ' (none: defaults)'}")


def _tmux_advice() -> list[str]:
    """Return what to change in tmux: without UTF-8 it draws `_` for signs, and by default it drops copied text."""
    advice = []
    if _ask_tmux("display-message", "-p", "#{client_utf8}") == "0":
        advice.append("tmux draws plain signs only: start it as 'tmux -u', or set LANG to a UTF-8 locale")
    if _clipboard() not in ("on", ""):
        advice.append("copying does not reach your clipboard: 'set -s set-clipboard on' in tmux.conf")
    return advice


def _clipboard() -> str:
    return _ask_tmux("show-options", "-sv", "set-clipboard")


def _ask_tmux(*arguments: str) -> str:
    try:
        done = subprocess.run(["tmux", *arguments], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _lingering() -> Check:
    user = os.environ.get("USER", "")
    if not shutil.which("loginctl") or not user:
        return Check("lingering", "ok", "no systemd login sessions here: engines outlive the terminal")
    if Path("/var/lib/systemd/linger", user).exists():
        return Check("lingering", "ok", "on: engines outlive the login session")
    kills = _kills_user_processes()
    advice = f"'loginctl enable-linger {user}' keeps engines alive after logout" if kills else ""
    return Check(
        "lingering", "note" if kills else "ok", "off" + (", and logout ends your processes" if kills else ""), advice
    )


def _kills_user_processes() -> bool:
    try:
        with open("/etc/systemd/logind.conf", encoding="utf-8", errors="replace") as file:
            return any(line.strip().lower() == "killuserprocesses=yes" for line in file)
    except OSError:
        return False
