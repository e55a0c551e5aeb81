"""Every kind of event, typed: the vocabulary of the journal.

An event is a row `(seq, at, kind, round, node, data)`. `data` is one of the structs below, as JSON. Changes are
additive: a new field has a default, a reader skips kinds it does not know, and an old run is never rewritten.
Fields named `*_blob`, `program`, `files`, `prior_files` and the `revision` of a prior hold the sha256 of a blob.

It stays one file despite its length: whoever adds a kind of event sees all that there are.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

__all__ = ["DATA_KINDS", "Data", "Event", "Status", "decode_data", "encode_data"]

Status = Literal["ok", "rejected", "invalid", "crashed", "timeout", "cancelled"]
"""How the evaluation of a node ended; only `ok` has a score."""


class Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event says beside its round and node; each subclass is one kind."""

    KIND: ClassVar[str]


class Event(NamedTuple):
    """One row of the journal."""

    seq: int
    """Position in the journal, from 1, without gaps."""
    at: int
    """Milliseconds since 1970, UTC."""
    round: int | None
    """The round it belongs to; None where it concerns the run. Round 0 holds the seeds."""
    node: int | None
    """The node it is about, from 0."""
    data: Data


class PriorShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One prior as a design was shown it."""

    id: str
    revision: str
    """sha256 of its text, which is kept as a blob."""
    title: str
    score: float
    why: str
    """What made it be chosen."""
    number: int = 0
    """Its revision in the cognition base, from 1; 0 where the base was not at hand and the file alone was read."""


# The run


class RunStarted(Data, frozen=True):
    """The first event of a run: all it needs to go on without its surroundings."""

    KIND = "run.started"

    task: str
    settings: dict[str, Any]
    """`engine.settings.model.Settings` as plain data."""
    spec: dict[str, Any]
    """The decoded task.toml."""
    files: dict[str, str]
    """Task files: path inside the folder to blob."""
    large_files: dict[str, str] = {}
    """Files too large to keep: path inside the folder to `sha256 size path`."""
    source: str = ""
    """The folder the task was read from."""
    priors: str = ""
    """The folder its priors are read from, live."""
    host: str = ""
    versions: dict[str, str] = {}
    environment: dict[str, str] = {}
    """What was there when it started: sandbox, Python, platform."""
    secret: str = ""
    """Commitment of the secret that the seeds of data follow from; empty: they follow from a number that anybody may
    know. The secret itself is never in the journal."""


class EngineStarted(Data, frozen=True):
    """An engine took the run up; the second and later ones resume it."""

    KIND = "run.engine_started"

    pid: int
    host: str
    sandbox: str
    """The level of confinement: `bubblewrap`, `landlock` or `limits`."""
    guarantee: Literal["guarded", "open"]
    workers: int
    slots: int
    designer: str
    version: str = ""
    missing: list[str] = []
    """What the run had and this engine does not find, one sentence each; the run goes on without."""
    unconfined: str = ""
    """Why the level is no better than `sandbox` says, what does not hold at it, and what to do about it."""
    secret: str = ""
    """Commitment of the secret that it draws with; another than before where that was lost."""


class RunPaused(Data, frozen=True):
    """No stage starts any more; `now`: running evaluations are frozen too."""

    KIND = "run.paused"

    now: bool = False
    reason: str = ""
    no_design: bool = False
    """Nothing can be designed any more as things are: it does not go on by itself."""


class RunResumed(Data, frozen=True):
    """Stages start again."""

    KIND = "run.resumed"


class RunStopped(Data, frozen=True):
    """A person or a budget ended the run before its rounds were done; it can be resumed."""

    KIND = "run.stopped"

    reason: str
    signal: str = ""
    """The signal that ended it, such as `SIGINT`; empty if none did, or if an earlier version wrote this."""


class RunFinished(Data, frozen=True):
    """The rounds were done, the target was reached or patience ran out."""

    KIND = "run.finished"

    reason: str


class RunFailed(Data, frozen=True):
    """The engine could not go on."""

    KIND = "run.failed"

    reason: str


class EngineGone(Data, frozen=True):
    """Whoever writes next found the run without the engine that should be at work: it left no word of its end."""

    KIND = "run.engine_gone"


class ClockStepped(Data, frozen=True):
    """The wall clock did not move as time did since the event before: it was set, or the machine slept.

    Events of one engine carry the wall's time; this one says how much of it was no time.
    """

    KIND = "clock.stepped"

    by_ms: int
    """How far the wall clock moved beyond the time that passed, in milliseconds; negative where it was set back."""
    passed_ms: int
    """How much time passed, by a clock that nobody sets and that stands still while the machine sleeps."""


class RunForked(Data, frozen=True):
    """This run began as a copy of another one up to `at_seq`; what comes after is its own."""

    KIND = "run.forked"

    parent: str
    """The folder of the other run."""
    at_seq: int
    own_priors: bool = False
    """True: from here on priors are read from the folder `priors` in the run's own folder."""
    prior_files: dict[str, str] = {}
    """What that folder begins with: file name to blob."""


# Rounds and their stages


class RoundStarted(Data, frozen=True):
    """A worker took up a round."""

    KIND = "round.started"

    worker: int = 0
    injected: int | None = None
    """Position of the `injected` event whose program takes this round."""


class RoundEnded(Data, frozen=True):
    """The round is over; it ends once."""

    KIND = "round.ended"

    outcome: Literal["node", "no_design"]
    reason: str = ""
    exhausted: bool = False
    """The designer is certain that no other round would get a design either, as things are."""


class LearnDone(Data, frozen=True):
    """Context nodes are sampled and priors retrieved."""

    KIND = "learn.done"

    parent: int
    inspirations: list[int] = []
    priors: list[PriorShown] = []
    why: str = ""
    """How the sampler came to this parent."""
    island: int | None = None
    """The island that the parent was drawn from, from 0, where the sampler has islands; the child joins it."""
    mode: Literal["full", "diff", "crossover", "fix"] = "diff"
    """How the design is to be written; of `fix` the parent is a node that failed."""


class CallStarted(Data, frozen=True):
    """A model is asked."""

    KIND = "call.started"

    call: int
    """Number of the call, from 1."""
    role: str
    model: str
    """Its name under `models` of the settings."""
    prompt_blob: str = ""
    """JSON: `{"messages": [{"role", "content"}], "schema": ...}`."""
    parameters: dict[str, Any] = {}
    """The model as it was configured then."""
    key: str = ""
    """Tells the calls of a round, or of a node, apart."""


REQUEST_KINDS = frozenset({"context", "moderation", "bad_request"})
"""Faults of the request itself: the same one would be refused again."""


class CallDone(Data, frozen=True):
    """A model answered, or did not."""

    KIND = "call.done"

    call: int
    role: str
    model: str
    answer_blob: str = ""
    reasoning_blob: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    usd: float = 0.0
    estimated: bool = False
    """True where tokens or cost are ours, not the server's."""
    seconds: float = 0.0
    """From the first request to the end, tries and the waits between them included."""
    retries: int = 0
    error: str = ""
    """Why no answer came; what it cost is counted all the same."""
    fault: str = ""
    """Kind of the error, one of `engine.llm.faults.FaultKind`."""
    key: str = ""
    refused: bool = False
    """The model declined, or a filter kept its answer back."""
    truncated: bool = False
    """The answer reached its limit of tokens."""
    priced: bool = True
    """False where no price is configured and the endpoint tells no cost, so that `usd` says nothing."""
    replayed: bool = False
    """True where the answer comes from the record of another run, and no model was asked."""


class DesignRejected(Data, frozen=True):
    """A design failed a check and got no node."""

    KIND = "design.rejected"

    attempt: int
    check: str
    """`syntax`, `size`, `interface`, `static`, `duplicate`, `designer` or `answer`."""
    reason: str
    operator: str = ""
    program: str = ""
    credit: dict[str, str] = {}


class DesignDone(Data, frozen=True):
    """A program passed its checks and became a node."""

    KIND = "design.done"

    program: str
    operator: str
    name: str
    motivation: str
    parents: list[int] = []
    """The node that was edited first, then those that gave parts."""
    priors: list[str] = []
    """Ids of the priors that went into the program, where the designer knows."""
    digest: str = ""
    """sha256 of the normalised syntax tree, by which duplicates are known."""
    credit: dict[str, str] = {}
    """What the designer wants rewarded for the outcome, in its own words."""
    size: int = 0
    """Bytes of the program."""
    sketch: str = ""
    """64 hexadecimal digits from which `engine.programs.minhash` tells how far two programs differ."""


class EvalStarted(Data, frozen=True):
    """An evaluation began."""

    KIND = "eval.started"

    stage: str
    repeat: int = 0
    seed: int = 0
    """0 where it follows from the run's secret."""
    device: str = ""


class EvalProgress(Data, frozen=True):
    """The evaluator reported values while it ran."""

    KIND = "eval.progress"

    stage: str
    step: float | None = None
    values: dict[str, float] = {}
    repeat: int = 0


class EvalStageDone(Data, frozen=True):
    """One repeat of one stage of an evaluation ended."""

    KIND = "eval.stage_done"

    stage: str
    status: Status
    repeat: int = 0
    score: float | None = None
    metrics: dict[str, Any] = {}
    reason: str = ""
    guarantee: Literal["guarded", "open"] = "open"
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    stdout_blob: str = ""
    stderr_blob: str = ""
    curve_blob: str = ""
    """JSON list of `[step, {name: value}]` that the evaluator reported, thinned."""


class EvalDone(Data, frozen=True):
    """The evaluation of a node ended; it ends once, and once more for each rerun."""

    KIND = "eval.done"

    status: Status
    score: float | None = None
    metrics: dict[str, Any] = {}
    reason: str = ""
    stage: str = ""
    """The stage that decided."""
    seconds: float = 0.0
    measurements: int = 1
    spread: float | None = None
    """Standard deviation over the measurements, where there are several."""
    verified: float | None = None
    judge: float | None = None
    """The judge's mark from 0 to 1; None where nobody judged, or the judgement failed."""


class AnalyzeDone(Data, frozen=True):
    """The analyzer's report on a node."""

    KIND = "analyze.done"

    lesson: str
    note: str = ""
    analyzer: str = "rules"


# Priors


class PriorChanged(Data, frozen=True):
    """A prior was added, edited, disabled or removed while the run was alive."""

    KIND = "prior.changed"

    id: str
    revision: str = ""
    change: Literal["added", "edited", "enabled", "disabled", "removed"] = "edited"
    title: str = ""
    number: int = 0
    """Its revision in the cognition base; 0 where the base was not at hand."""
    author: Literal["", "human", "file", "analyzer", "import"] = ""
    """Where the change was made: in a `file`, in the base by a `human`, by an `analyzer`, or by an `import`."""
    message: str = ""
    """What was said about it."""


class PriorWarned(Data, frozen=True):
    """What is wrong with the cognition base or with files of priors, as it is from now on; empty: all is well again."""

    KIND = "prior.warned"

    problems: list[str] = []


class PriorsRecalled(Data, frozen=True):
    """What came of the task's priors in earlier runs on the same cognition base: the designer begins with it."""

    KIND = "prior.recalled"

    outcomes: dict[str, tuple[int, int]]
    """By id: nodes that a prior went into and that gained over their parents, and nodes that did not."""


class PriorProposed(Data, frozen=True):
    """The analyzer proposes a prior."""

    KIND = "prior.proposed"

    id: str
    title: str
    text_blob: str
    evidence: list[int] = []


class PriorAccepted(Data, frozen=True):
    """A person took a proposed prior into the cognition base."""

    KIND = "prior.accepted"

    id: str


class PriorRejected(Data, frozen=True):
    """A person turned a proposed prior down."""

    KIND = "prior.rejected"

    id: str
    reason: str = ""


# What people do


class Injected(Data, frozen=True):
    """A person gave the run a program (it takes the next round) or a hint (the next designs are shown it)."""

    KIND = "injected"

    what: Literal["program", "hint"]
    text: str = ""
    program: str = ""
    name: str = ""
    parent: int | None = None
    """The node that the program was made from, where a person says so."""


class NodePinned(Data, frozen=True):
    """The node is sampled as a parent until it is unpinned."""

    KIND = "node.pinned"


class NodeUnpinned(Data, frozen=True):
    """The node is sampled as any other."""

    KIND = "node.unpinned"


class NodePruned(Data, frozen=True):
    """The node is no longer sampled."""

    KIND = "node.pruned"


class NodeRestored(Data, frozen=True):
    """A pruned node is sampled again."""

    KIND = "node.restored"


class NodeStarred(Data, frozen=True):
    """A person marked the node, or took the mark away."""

    KIND = "node.starred"

    starred: bool = True


class NodeCommented(Data, frozen=True):
    """A person wrote something about the node, or about the run."""

    KIND = "node.commented"

    text: str


class NodeRerun(Data, frozen=True):
    """The node is to be measured again in the stage that ranks; a further `eval.done` says what came of it."""

    KIND = "node.rerun"

    repeat: int = 0
    """Number of the new measurement."""


class BestCrowned(Data, frozen=True):
    """The node is the best so far."""

    KIND = "best.crowned"

    score: float
    previous: int | None = None


class SettingsChanged(Data, frozen=True):
    """A person changed settings of the run."""

    KIND = "settings.changed"

    settings: dict[str, Any]
    """Only what changed, nested as in `Settings`."""


class TaskChanged(Data, frozen=True):
    """The task's files on the disk differ from the recorded copy, or the copy was replaced by them."""

    KIND = "task.changed"

    files: dict[str, str]
    """Every path that differs now: `edited`, `added` or `removed`; empty: all is as recorded again. Where the copy was
    replaced: path to the new blob, or `removed`."""
    adopted: bool = False
    """True: a person replaced the copy; what follows is the new one where it is given."""
    spec: dict[str, Any] = {}
    large_files: dict[str, str] = {}
    source: str = ""
    priors: str = ""


class BudgetWarned(Data, frozen=True):
    """A share of a budget is spent."""

    KIND = "budget.warned"

    budget: str
    spent: float
    limit: float
    share: float = 0.0
    """The share that was passed: 0.5 or 0.8."""


class CommandDone(Data, frozen=True):
    """A command of a person was carried out or refused."""

    KIND = "command.done"

    command: int
    name: str
    ok: bool
    result: str = ""
    """What the person is told."""
    code: str = ""
    """As in `engine.command_kinds.Answer`."""


class Telemetry(Data, frozen=True):
    """A summary of the machine's state over the last 30 seconds."""

    KIND = "telemetry"

    values: dict[str, float] = {}
    """Names and units: `engine.loop.telemetry.Machine`."""
    devices: list[str] = []
    """Names of the GPUs, in the order of their numbers."""


DATA_KINDS: dict[str, type[Data]] = {data.KIND: data for data in Data.__subclasses__()}
"""Every kind of event by its name."""

FREE_FORM = frozenset(
    kind for kind, data in DATA_KINDS.items() if "Any" in " ".join(map(str, data.__annotations__.values()))
)
"""Kinds whose data holds tables of any shape, such as settings and metrics."""

_ENCODER = msgspec.json.Encoder()
_DECODERS = {kind: msgspec.json.Decoder(data) for kind, data in DATA_KINDS.items()}


def encode_data(data: Data) -> bytes:
    """The JSON of an event's data.

    Raises:
        ValueError: it holds what would not be read back: a number that is not finite, or text that is no Unicode.
    """
    raw = _ENCODER.encode(data)
    # JSON has no NaN and no infinity: they are written as null, and a null of ours is rare.
    if b"null" in raw and not _is_finite(msgspec.to_builtins(data)):
        raise ValueError(f"{data.KIND} holds a number that is not finite")
    return raw


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list) or all(map(_is_finite, value))


def decode_data(kind: str, raw: bytes | str) -> Data | None:
    """An event's data from its JSON, or None for a kind this version does not know.

    Raises:
        msgspec.DecodeError: the JSON does not fit the kind.
    """
    decoder = _DECODERS.get(kind)
    return decoder.decode(raw) if decoder is not None else None
