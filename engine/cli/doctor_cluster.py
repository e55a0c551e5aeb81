"""What `evolve doctor --executor ray` looks at: the cluster, and each of its machines."""

from __future__ import annotations

import platform
import time
from typing import Any

import msgspec

from engine.cli.doctor_models import Check
from engine.errors import EvolveError
from engine.settings.executor import ExecutorSettings
from engine.task.resources import Resources
from engine.text import one_line

__all__ = ["check_cluster", "check_machine"]

_LOW_MB = 2048
_SKEW_SECONDS = 2.0
_RAY_LOGS = "See the logs in /tmp/ray/session_latest/logs there"


class Surveyed(msgspec.Struct, frozen=True):
    """What a machine says of itself."""

    python: str
    msgspec: str
    sandbox: str
    guards: bool
    shortfall: str
    cgroup: str
    scratch: str
    free_mb: int
    clock: float
    facts: dict[str, str]


async def check_cluster(settings: ExecutorSettings) -> list[Check]:
    """Check the cluster and each machine; evaluations of one core are what they are counted for."""
    from engine.evaluation.executors.ray import RayExecutor

    executor = RayExecutor(settings, Resources(gpus=0.0))
    try:
        await executor.open()
    except EvolveError as exc:
        return [Check("cluster", "bad", exc.message, exc.hint)]
    try:
        began = time.time()
        answers = await executor.survey()
        slots = executor.slots(None)
        found = (
            f"Ray at {settings.address}, {len(executor.machines)} machines, room for {slots} evaluations of one core"
        )
        checks = [Check("cluster", "ok" if slots else "bad", found, "" if slots else "Start one with 'ray start'")]
        checks.append(_token(executor.token))
        hosts = {machine.id: machine.name for machine in executor.machines}
        return checks + [
            check_machine(hosts.get(node, node[:12]), said, began) for node, said in sorted(answers.items())
        ]
    finally:
        await executor.aclose()


def _token(on: bool) -> Check:
    if on:
        return Check("token", "ok", "the cluster asks its clients for a token")
    advice = "Set RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN everywhere before 'ray start'"
    return Check(
        "token", "bad", "whoever reaches the cluster can run code on every machine: it asks for no token", advice
    )


def check_machine(host: str, said: bytes | str, began: float, logs: str = _RAY_LOGS) -> Check:
    """Judge what a machine says.

    Args:
        host: its name.
        said: its answer as JSON; a text says why there is none.
        began: when it was asked, by this machine's clock.
        logs: what to do if the answer does not say it.
    """
    name = f"machine {host}"
    try:
        told = msgspec.json.decode(said, type=Surveyed) if isinstance(said, bytes) else None
    except msgspec.DecodeError:
        told = None
    if told is None:
        why = _fault(said) if isinstance(said, bytes) else said
        return Check(name, "bad", one_line(f"it cannot run evaluations: {why}", 400), _advice(why, logs))
    bad: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    if not told.guards:
        (bad if told.sandbox == "limits" else notes).append(
            (told.shortfall or f"its sandbox is {told.sandbox}", "Install bubblewrap there (apt install bubblewrap)")
        )
    if told.free_mb < _LOW_MB:
        notes.append((f"{told.free_mb} MB free in {told.scratch}", "Name another folder as executor.scratch"))
    # It answered between the question and now.
    skew = max(began - told.clock, told.clock - time.time(), 0.0)
    if skew > _SKEW_SECONDS:
        notes.append((f"its clock is {skew:.0f} s off", "Let a time service set it (systemd-timesyncd, chrony)"))
    if told.python != platform.python_version():
        notes.append((f"Python {told.python}, and {platform.python_version()} here", "Scores may depend on it"))
    if told.msgspec != msgspec.__version__:
        notes.append((f"msgspec {told.msgspec}, and {msgspec.__version__} here", "Install the same version"))
    space = f"{told.free_mb // 1024} GB free in {told.scratch}"
    found = f"Python {told.python}, {told.sandbox}, {space}, {told.facts.get('cpu', '')}"
    problems = bad + notes
    text = "; ".join([found, *(problem for problem, _ in problems)])
    return Check(
        name, "bad" if bad else "note" if notes else "ok", one_line(text, 600), "; ".join(a for _, a in problems)
    )


def _fault(said: bytes) -> str:
    try:
        found: Any = msgspec.json.decode(said)
    except msgspec.DecodeError:
        return "it answered with no message"
    return str(found.get("message", "")) if isinstance(found, dict) else "it answered with no message"


def _advice(why: str, logs: str) -> str:
    if "No module named" in why:
        return "Install what is missing into the environment that serves evaluations there (for Ray, start it again)"
    return logs
