"""Ask SLURM by its own commands: sbatch, squeue, scancel, sinfo. Accounting (sacct) is not needed."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass

from engine.errors import EvolveError

__all__ = ["PREFIX", "Job", "Refused", "Unanswered", "cancel", "cancel_named", "list_jobs", "list_machines", "submit"]

PREFIX = "evolve-"
"""Of the names of jobs; the name of an attempt follows."""

_SECONDS = 60.0
_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ", "SLURM_CONF")
"""What SLURM's commands, and by `--export=ALL` jobs, have of this process's environment: never a key."""
_TRANSIENT = (
    "timed out", "Unable to contact", "Connection refused", "temporarily", "Zero Bytes were transmitted",
    "MaxSubmitJob", "MaxSubmitPU", "Job violates accounting/QOS policy", "Slurm backup controller in standby",
    "Unexpected message received", "slurmctld communication", "Communication connection failure",
)  # fmt: skip
"""What a later try may not meet again."""
_USABLE = frozenset({"idle", "mixed", "allocated", "completing", "planned", "reserved"})
_ALIVE = frozenset({
    "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING",
    "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD",
})  # fmt: skip


class Refused(EvolveError):
    """SLURM has refused what was asked, and would again."""


class Unanswered(EvolveError):
    """SLURM gave no answer, or one that a later try may not get."""


@dataclass(frozen=True)
class Job:
    """A job in the queue, or one that left it a short while ago."""

    id: str
    state: str
    """As squeue has it: PENDING, RUNNING, COMPLETED, NODE_FAIL, …"""
    node: str
    """The machine; empty while it waits."""
    reason: str
    """Why it waits or failed; `None` if for no reason."""
    name: str

    @property
    def is_alive(self) -> bool:
        """Whether it waits, runs or is about to end."""
        return self.state in _ALIVE

    @property
    def cannot_start(self) -> bool:
        """Whether it waits for a person, since it could not be launched."""
        return self.state in ("PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT") and "held" in self.reason.lower()


async def submit(arguments: list[str], script: bytes) -> str:
    """Submit a job; return its id.

    Raises:
        Refused: SLURM does not take it.
        Unanswered: it is not known whether SLURM has taken it.
    """
    said = await _run(["sbatch", "--parsable", *arguments], script)
    id_ = said.strip().split(";")[0]  # with the name of a cluster, where there are several
    if not id_.isdecimal():
        raise Unanswered(f"sbatch answered with no number of a job, but '{said[:200].strip()}'")
    return id_


async def list_jobs() -> dict[str, Job]:
    """Return this user's jobs by name, also those that ended within the last minutes; of two, the living one.

    Raises:
        Refused, Unanswered: the queue cannot be asked.
    """
    said = await _run(
        ["squeue", f"--user={os.getuid()}", "--states=all", "--noheader", "--format=%A|%T|%N|%r|%j"]
    )  # fmt: skip
    found: dict[str, Job] = {}
    for line in said.splitlines():
        fields = line.split("|", 4)
        if len(fields) == 5:
            job = Job(fields[0].strip(), fields[1], fields[2], fields[3], fields[4].strip())
            if job.name not in found or job.is_alive:
                found[job.name] = job
    return found


async def cancel(ids: list[str]) -> None:
    """Cancel jobs; those that have ended are passed over.

    Raises:
        Refused, Unanswered: they could not be cancelled.
    """
    await _run(["scancel", "--quiet", *ids])


async def cancel_named(names: Collection[str]) -> None:
    """Cancel this user's jobs of these names, as far as they have not ended.

    Raises:
        Refused, Unanswered: the queue cannot be asked, or they could not be cancelled.
    """
    ids = [job.id for name, job in (await list_jobs()).items() if name in names and job.is_alive]
    if ids:
        await cancel(ids)


async def list_machines(partition: str) -> dict[str, dict[str, float]]:
    """Return what each usable machine of a partition has, by its name: `CPU`, `GPU`, and generic resources.

    Args:
        partition: its name; empty for the default one.

    Raises:
        Refused, Unanswered: SLURM cannot be asked.
    """
    of = [f"--partition={partition}"] if partition else []
    said = await _run(["sinfo", "--Node", "--noheader", "--format=%N|%c|%T|%P|%G", *of])
    found: dict[str, dict[str, float]] = {}
    for line in said.splitlines():
        name, cpus, state, of_partition, gres = (line.split("|", 4) + [""] * 5)[:5]
        wanted = partition or of_partition.endswith("*")
        if wanted and state.rstrip("~#!%$@^-+") in _USABLE and cpus.rstrip("+").isdecimal():
            found[name.strip()] = {"CPU": float(cpus.rstrip("+")), **_generic(gres.strip())}
    return found


def _generic(text: str) -> dict[str, float]:
    """Return generic resources by their names, with and without type: `gpu:a100:4(S:0-1),shard:8`."""
    found: dict[str, float] = {}
    depth, words = 0, [""]
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            words.append("")
        elif not depth and letter != ")":
            words[-1] += letter
    for word in words:
        *names, count = word.split(":")
        if not names:
            continue
        number = float(count) if count.isdecimal() else 1.0 if not count else 0.0
        for name in {names[0], ":".join(names)}:
            found[name] = found.get(name, 0.0) + number
    if "gpu" in found:
        found["GPU"] = found["gpu"]
    return found


async def _run(command: list[str], data: bytes = b"") -> str:
    passed = {key: value for key, value in os.environ.items() if key in _PASSED or key.startswith("SBATCH_")}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=passed,
        )  # fmt: skip
    except FileNotFoundError:
        raise Refused(
            f"there is no command '{command[0]}' here",
            "Run the engine on a machine that submits to SLURM, with its commands on the PATH",
        ) from None
    except OSError as exc:
        raise Unanswered(f"'{command[0]}' cannot be started: {exc.strerror}") from None
    try:
        async with asyncio.timeout(_SECONDS):
            out, err = await process.communicate(data)
    except TimeoutError:
        raise Unanswered(f"'{command[0]}' did not answer within {_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return out.decode("utf-8", "replace")
    lines = [line for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    why = lines[-1].strip() if lines else f"exit code {process.returncode}"
    message = f"'{command[0]}' says: {why[:400]}"
    if any(word in line for word in _TRANSIENT for line in lines):
        raise Unanswered(message)
    raise Refused(message, "'evolve doctor --executor slurm' looks at the cluster; executor.options go to sbatch")
