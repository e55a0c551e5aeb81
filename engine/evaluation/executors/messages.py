"""Messages between the engine and a machine of a cluster: JSON of bounded length, decoded strictly at both ends."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Literal

import msgspec

from engine.evaluation.evaluator import Outcome, Place
from engine.evaluation.job import Build, Job
from engine.evaluation.supervisor.results import clean_result, plain_text
from engine.task.spec import Limits

__all__ = [
    "Done",
    "Fault",
    "Item",
    "JobMessage",
    "NothingKept",
    "OutcomeMessage",
    "Progressed",
    "Request",
    "Started",
    "decode_item",
    "decode_request",
]
__all__ += ["encode", "most_bytes", "to_outcome"]

_BESIDE = 4 << 20
"""Bytes that a message may have beside the evaluation's result: output, metrics, feedback, picture, construction."""


class JobMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `Job` without what the machine knows itself: folders, device."""

    program: bytes
    metric: str
    guarded: bool
    gpu: bool
    python: str | None
    mounts: list[str]
    stage: str
    repeat: int
    seed: int
    settings: dict[str, Any]
    limits: Limits
    threads: int
    data_seed: int | None
    sandbox_seed: int | None
    trusted: bool
    suffix: str
    tree: dict[str, bytes] | None
    build: BuildMessage | None
    is_build: bool
    built: dict[str, bytes] | None
    containers: bool
    cores: int
    given: str = ""


class BuildMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `Build`."""

    command: list[str]
    files: dict[str, bytes]
    limits: Limits
    mounts: list[str]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An evaluation to run on a machine, or to look for there."""

    key: str
    attempt: int
    engine: str
    """Names the engine that asks; what another one left is kept for its successor."""
    source: str
    """sha256 of the blob with the engine's own source."""
    task: str
    """sha256 of the blob with the task folder."""
    scratch: str
    """The folder on the machine to work in; empty for the default."""
    config: str
    """The text of config.toml that holds there."""
    environment: dict[str, str]
    job: JobMessage

    @classmethod
    def of(cls, job: Job, mounts: list[str], **fields: Any) -> Request:
        """Return the request for a job; `mounts` take the place of the job's own."""
        build = None
        if job.build is not None:
            of = job.build
            build = BuildMessage(list(of.command), dict(of.files), of.limits, list(of.mounts))
        message = JobMessage(
            program=job.program.encode("utf-8", "surrogatepass"),
            build=build,
            mounts=mounts,
            **{
                name: getattr(job, name)
                for name in JobMessage.__struct_fields__
                if name not in ("program", "build", "mounts")
            },
        )
        return cls(job=message, **fields)


class Started(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="started"):
    """The evaluation is about to start on this machine."""

    key: str
    attempt: int
    node: str
    """Ray's id of the machine."""
    orders: str
    """The pipe that takes orders for it."""


class Progressed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="progress"):
    """Reports of the evaluator."""

    items: list[tuple[float | None, dict[str, float]]]


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="output"):
    """What one of its streams printed lately."""

    stream: Literal["stdout", "stderr"]
    text: str
    left_out: int
    """Bytes before it that are not told."""


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="done"):
    """It has ended."""

    key: str
    attempt: int
    facts: dict[str, str]
    outcome: OutcomeMessage


class OutcomeMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An `Outcome` without its place."""

    status: Literal["ok", "rejected", "invalid", "crashed", "timeout", "cancelled"]
    score: float | None
    metrics: dict[str, Any]
    reason: str
    guarantee: Literal["guarded", "open"]
    sandbox: Literal["bubblewrap", "landlock", "limits"]
    seconds: float
    cpu_seconds: float
    peak_mb: float
    stdout: bytes
    stderr: bytes
    built: str
    feedback: str
    picture: str = ""
    construction: str = ""

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeMessage:
        """Return an outcome as it travels."""
        return cls(**{name: getattr(outcome, name) for name in cls.__struct_fields__})


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fault"):
    """It could not run here, for a reason other than the candidate."""

    message: str


class NothingKept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="nothing"):
    """The machine has no outcome of the evaluation that was asked for."""


Item = Started | Progressed | Written | Done | Fault | NothingKept

_ITEMS: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_REQUESTS = msgspec.json.Decoder(Request)


def encode(message: Item | Request) -> bytes:
    """Encode a message; a number that is not finite becomes null, which is refused at the other end."""
    return msgspec.json.encode(message)


def decode_request(data: bytes) -> Request:
    """Decode the engine's request.

    Raises:
        ValueError: it is none.
    """
    return _REQUESTS.decode(data)


def most_bytes(job: Job) -> int:
    """Return the longest message that may come of a job."""
    return int(job.limits.result_mb * 2**20 * 4 / 3) + _BESIDE


def decode_item(data: bytes, most: int) -> Item:
    """Decode what a machine sends.

    Args:
        data: as received.
        most: bytes that it may have.

    Raises:
        ValueError: it is longer, or no message.
    """
    if len(data) > most:
        raise ValueError(f"a message of {len(data) / 2**20:.1f} MiB, above the limit of {most / 2**20:.0f} MiB")
    try:
        return _ITEMS.decode(data)
    except RecursionError:
        raise ValueError("a message that is nested too deeply") from None


def to_outcome(done: Done, host: str) -> Outcome:
    """Return the outcome that a machine tells, reduced to what one may hold.

    Raises:
        ValueError: it holds no valid result.
    """
    told = done.outcome
    fields = msgspec.structs.asdict(told)
    if told.status == "cancelled":
        fields |= {"score": None, "metrics": {}, "reason": plain_text(told.reason, 4096)}
    else:
        fields |= clean_result(fields)
    if not all(math.isfinite(value) and value >= 0 for value in (told.seconds, told.cpu_seconds, told.peak_mb)):
        raise ValueError("times or memory that are no numbers from 0")
    facts = tuple(sorted((plain_text(name, 64), plain_text(value, 256)) for name, value in done.facts.items()))[:64]
    machine = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:12]
    return Outcome(**fields, place=Place(host, machine, facts))


def job_of(message: JobMessage) -> dict[str, Any]:
    """Return the fields of a job that a request holds."""
    fields = {name: getattr(message, name) for name in JobMessage.__struct_fields__}
    fields["program"] = message.program.decode("utf-8", "surrogatepass")
    if message.build is not None:
        of = message.build
        fields["build"] = Build(tuple(of.command), of.files, of.limits, tuple(of.mounts))
    return fields
