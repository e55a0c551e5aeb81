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

__all__ = ["DATA_KINDS", "DECODERS", "Data", "Event", "Status", "decode_data", "encode_data"]

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
    """The round it belongs to; None if it is about the run. Round 0 holds the seeds."""
    node: int | None
    """The node it is about, from 0."""
    data: Data


class PriorShown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One prior as it was shown to a design."""

    id: str
    revision: str
    """sha256 of its text, which is kept as a blob."""
    title: str
    score: float
    why: str
    """Why it was chosen."""
    number: int = 0
    """Its revision in the cognition base, from 1; 0 if the base could not be read and the file was."""


# The run


class RunStarted(Data, frozen=True):
    """The first event of a run: everything that the run needs to be self-contained."""

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
    """The environment at its start: sandbox, Python, platform."""
    secret: str = ""
    """Commitment of the secret that data seeds are derived from; empty: they are derived from a public number. The
    secret itself is never in the journal."""


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
    """Things that the run had and this engine does not find, one sentence each; the run goes on without them."""
    unconfined: str = ""
    """Why the level is no better than `sandbox` says, what does not hold at it, and what to do about it."""
    secret: str = ""
    """Commitment of the secret that it draws with; a new one if the former was lost."""
    executor: str = ""
    """Where evaluations run, if that is not this machine: `ray`."""
    address: str = ""
    """The cluster's address."""


class RunPaused(Data, frozen=True):
    """No further stage starts; `now`: running evaluations are frozen, too."""

    KIND = "run.paused"

    now: bool = False
    reason: str = ""
    no_design: bool = False
    """Whether nothing can be designed until something changes: it does not go on by itself."""


class PauseArmed(Data, frozen=True):
    """A person asked for a pause at a later moment, or took that back; or the moment came, and `run.paused` follows."""

    KIND = "run.pause_armed"

    at: str = ""
    """`best`: when a new best is crowned; `round`: when that round ends; empty: no pause waits any longer."""
    round: int | None = None


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
    """The next writer found that the engine had died without recording its end."""

    KIND = "run.engine_gone"


class ClockStepped(Data, frozen=True):
    """The wall clock made a step since the event before: it was set, or the machine slept.

    Events carry the wall clock's time; this one says by how much it is off.
    """

    KIND = "clock.stepped"

    by_ms: int
    """How far the wall clock moved beyond the time that passed, in milliseconds; negative if it was set back."""
    passed_ms: int
    """How much time passed, by a clock that is never set and that stands still while the machine sleeps."""


class WarmProgram(msgspec.Struct, frozen=True, omit_defaults=True):
    """A program that the population starts with beside the seeds."""

    program: str
    run: str
    """The name of the run that it comes from."""
    node: int
    """Its node there."""
    name: str = ""
    score: float | None = None
    """Its score there, on that run's data."""
    metric: str = ""
    """What that run calls its score."""
    lesson: str = ""


class RunWarmed(Data, frozen=True):
    """Before its first round: programs of other runs are in round 0, and are measured anew there."""

    KIND = "run.warmed"

    programs: list[WarmProgram]
    left_out: list[str] = []
    """For people: what of those runs did not fit, a line each."""


class RunForked(Data, frozen=True):
    """This run began as a copy of another one up to `at_seq`; later events are its own."""

    KIND = "run.forked"

    parent: str
    """The folder of the other run."""
    at_seq: int
    own_priors: bool = False
    """True: from here on priors are read from the folder `priors` in the run's own folder."""
    prior_files: dict[str, str] = {}
    """The files of that folder at first: file name to blob."""


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
    """Whether the designer is certain that no other round can get a design until something changes."""
    tokens: int = 0
    """Tokens in and out of the round's designs that were refused, if it ended without a node."""
    seconds: float = 0.0
    """How long their calls took."""


class LearnDone(Data, frozen=True):
    """Context nodes are sampled and priors retrieved."""

    KIND = "learn.done"

    parent: int
    inspirations: list[int] = []
    priors: list[PriorShown] = []
    why: str = ""
    """How the sampler chose the parent."""
    island: int | None = None
    """The island that the parent was drawn from, from 0, if the sampler has islands; the child joins it."""
    mode: Literal["full", "diff", "crossover", "fix"] = "diff"
    """How the design is written; for `fix` the parent is a node that failed."""
    action: str = ""
    """The action against a standstill that shaped this round, as in `standstill.acted`; empty if none did."""
    model: str = ""
    """The model that is to design, by its name under `models` of the settings; empty: it is drawn by weight."""


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
    """Identifies the call among those of its round or node."""
    tokens: int = 0
    """Estimated tokens of the prompt; 0 if an earlier version wrote this."""
    patience: float = 0.0
    """Seconds of silence before the first piece of the answer after which the engine hangs up."""
    cap: int = 0
    """Tokens of the answer, thoughts left out, at which it hangs up; 0: never."""
    brief: bool = False
    """Whether the prompt has the short form."""
    aim: int | None = None
    """Tokens that the prompt was shortened to; None if only the model's context bounded it."""
    continues: int = 0
    """The call whose conversation this one continues, so that its prompt begins with that; 0 if none."""
    room: int = 0
    """Most tokens of the prompt that there was room for; 0 if an earlier version wrote this."""
    command: list[str] = []
    """The words of the command that is run in place of a model; empty for a model."""


class CallRetried(Data, frozen=True):
    """A try of a call gave no answer, and another one is made."""

    KIND = "call.retried"

    call: int
    number: int
    """Number of the try that failed, from 1."""
    role: str = ""
    model: str = ""
    fault: str = ""
    """One of `engine.llm.faults.FaultKind`, or `empty`; or `form`: the endpoint takes requests in another form only."""
    reason: str = ""
    ended_by: str = ""
    """The setting whose limit ended it; empty if none did."""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    """What this try cost; `call.done` counts it too."""
    seconds: float = 0.0


class CallTold(Data, frozen=True):
    """A command says what its design cost so far; `call.done` counts it too."""

    KIND = "call.told"

    call: int
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    usd: float | None = None
    """US dollars; None if it says none."""


REQUEST_KINDS = frozenset({"context", "moderation", "bad_request", "answer"})
"""Faults of the request itself, or of its answer: the same request would end so again."""


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
    """True if tokens or cost are our estimate, not the server's figures."""
    seconds: float = 0.0
    """From the first request to the end, including all tries and the waits between them."""
    retries: int = 0
    error: str = ""
    """Why there is no answer; its cost counts nevertheless."""
    fault: str = ""
    """Kind of the error, one of `engine.llm.faults.FaultKind`."""
    key: str = ""
    refused: bool = False
    """The model declined, or a filter kept its answer back."""
    truncated: bool = False
    """The answer reached its limit of tokens."""
    priced: bool = True
    """False if no price is configured and the endpoint reports no cost, so that `usd` is unknown."""
    ended_by: str = ""
    """What made the engine hang up: the setting whose limit was reached, or `repetition`; empty if nothing did."""
    replayed: bool = False
    """True if the answer comes from the record of another run, and no model was asked."""
    brief: bool = False
    """Whether the prompt had the short form."""
    reading: float = 0.0
    """Tokens of a prompt that the endpoint has shown to read in a second; 0 if it has not."""
    characters: float = 0.0
    """Characters of a prompt in a token there; 0 if that is not known."""
    items_blob: str = ""
    """JSON: the items of the answer, thoughts included, to be sent again; only by the Responses API."""
    prompt_blob: str = ""
    """Its prompt, if there are items."""
    tokens_thought: int = 0
    """How many of `tokens_out` were thoughts; 0 if the endpoint does not tell."""
    program: str = ""
    """The program that a command left, whose transcript is the answer; empty for a model."""
    notes: str = ""
    """What a command says of its program."""
    problem: str = ""
    """Why a command left no program; empty if it did, and for a model."""
    tokens_there: int = 0
    """Of a replayed answer, the tokens in and out that it took in the run that it comes from."""


class PromptsShortened(Data, frozen=True):
    """Most answers of a model could not be used: from here on it gets the short form of prompts."""

    KIND = "prompts.shortened"

    model: str
    """Its name under `models` of the settings."""
    reason: str
    """How many of its answers could not be used."""


class Near(msgspec.Struct, frozen=True, omit_defaults=True):
    """A measured node that a design resembles."""

    node: int
    alike: float
    """From 0 to 1: the share of lines that both have, and of the rest how near it is in meaning."""
    kind: Literal["numbers", "code"] = "code"
    """`numbers` if their lines differ in numbers alone."""
    meaning: bool = False
    """Whether meaning was compared; else lines alone."""


class DesignRejected(Data, frozen=True):
    """A design failed a check and got no node."""

    KIND = "design.rejected"

    attempt: int
    check: str
    """`syntax`, `size`, `interface`, `static`, `duplicate`, `near`, `designer` or `answer`."""
    reason: str
    operator: str = ""
    program: str = ""
    credit: dict[str, str] = {}
    call: int = 0
    """Number of the call whose answer it was; 0 if no model was asked."""
    tokens: int = 0
    """Tokens in and out of that call."""
    seconds: float = 0.0
    """How long it took."""
    near: Near | None = None
    """`near`: what it resembles."""


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
    """Ids of the priors that went into the program, if the designer knows."""
    digest: str = ""
    """sha256 of the normalised syntax tree, by which duplicates are known."""
    canon: str = ""
    """The same without names and unused helpers; empty in a run without a model, which renames nothing."""
    credit: dict[str, str] = {}
    """What the designer credits with the outcome, in its own terms."""
    size: int = 0
    """Bytes of the program."""
    sketch: str = ""
    """64 hexadecimal digits from which `engine.programs.minhash` tells how far two programs differ."""
    origin: str = ""
    """Its id in the run of another system that it was imported from."""
    near: list[Near] = []
    """The nodes that it resembles most, one for each kind of difference at most; empty if that was not looked for."""


class EvalStarted(Data, frozen=True):
    """An evaluation began."""

    KIND = "eval.started"

    stage: str
    repeat: int = 0
    seed: int = 0
    """0 if it is derived from the run's secret."""
    device: str = ""
    given_blob: str = ""
    """The construction that the program is to improve: JSON; empty if there is none."""


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
    feedback_blob: str = ""
    """What the evaluator said in words."""
    picture_blob: str = ""
    """What the evaluator drew: JSON with `kind` and `data`."""
    construction_blob: str = ""
    """What the program constructed, if the task's kind is `improve`: JSON of numbers in lists."""
    host: str = ""
    """The machine that measured it; empty for the engine's own."""
    machine: str = ""
    """That machine's fingerprint, as in `machine.seen`; empty for the engine's own."""


class EvalSubmitted(Data, frozen=True):
    """An evaluation is about to be submitted to an executor that outlives engines."""

    KIND = "eval.submitted"

    work: str
    """Names the evaluation among those of the run: `NODE-STAGE-REPEAT`, or `NODE-freshDRAW-OF`."""
    key: str
    """Names it everywhere, also to the executor; the same for all attempts."""
    attempt: int = 0
    """From 0; a result of an earlier attempt than the last is refused."""
    executor: str = ""


class EvalPlaced(Data, frozen=True):
    """The executor has said where a submitted evaluation runs."""

    KIND = "eval.placed"

    work: str
    key: str
    attempt: int = 0
    handle: str = ""
    """What finds it again, in the executor's own terms."""
    host: str = ""
    """The machine's name."""


class EvalLost(Data, frozen=True):
    """A submitted evaluation ended without an outcome, which is no fault of its program; it is submitted again."""

    KIND = "eval.lost"

    work: str
    key: str
    attempt: int = 0
    host: str = ""
    """The machine's name; empty if it never had one."""
    reason: str = ""


class MachineSeen(Data, frozen=True):
    """An evaluation of this run ended for the first time on a machine of this kind."""

    KIND = "machine.seen"

    machine: str
    """Names this fingerprint: 12 hexadecimal digits that follow from `facts`."""
    host: str = ""
    """The first machine that had it."""
    facts: dict[str, str] = {}
    """What scores may depend on: processor, GPU and its driver, versions of Python and of libraries."""


class ClusterMachine(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """A machine of a cluster, as far as evaluations of the run are concerned."""

    name: str
    slots: int = 0
    """How many evaluations fit onto it."""
    cores: float = 0.0
    gpus: float = 0.0


class ClusterChanged(Data, frozen=True):
    """Machines have joined the cluster that the engine uses, or changed, or left; at first all of them have joined."""

    KIND = "cluster.changed"

    joined: list[ClusterMachine] = []
    left: list[str] = []
    """Their names."""


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
    """Standard deviation over the measurements, if there are several."""
    verified: float | None = None
    judge: float | None = None
    """The judge's mark from 0 to 1; None if there was no judge, or it failed."""
    taken_from: int | None = None
    """The node whose score this is, since it behaved the same in the task's probe: it was not measured itself."""


class VerifyStarted(Data, frozen=True):
    """A node is to be measured on fresh data, and another one on the same beside it."""

    KIND = "verify.started"

    draws: list[int]
    """Numbers, from 1, that no evaluation drew its data with before; never the seeds that follow from them."""
    reference: int | None = None
    """The node to compare with: the best so far, or node 0 if a person asks; None: the score alone decides."""
    asked: bool = False
    """Whether a person asked for it."""
    resting: bool = False
    """Whether it is done without an engine; no engine goes on with it."""


class VerifyMeasured(Data, frozen=True):
    """One measurement on fresh data ended; its node is the one that is verified."""

    KIND = "verify.measured"

    of: int
    """The node whose program was measured."""
    draw: int
    status: Status
    score: float | None = None
    metrics: dict[str, Any] = {}
    reason: str = ""
    guarantee: Literal["guarded", "open"] = "open"
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    stdout_blob: str = ""
    stderr_blob: str = ""
    host: str = ""
    """As of `eval.stage_done`."""
    machine: str = ""


class VerifyDone(Data, frozen=True):
    """What measurements say of a node's gain over another one; an `eval.done` of it may follow."""

    KIND = "verify.done"

    outcome: Literal["confirmed", "unsupported", "quarantined"]
    """`confirmed`: it may be the best; `unsupported`: its gain is within its spread, or could not be measured;
    `quarantined`: fresh data do not show it. Only the first is crowned."""
    reason: str = ""
    """For people; empty if it is confirmed."""
    reference: int | None = None
    draws: list[int] = []
    """Numbers of the fresh draws; empty if the recorded measurements were enough."""
    scores: list[float] = []
    """Its scores on them."""
    reference_scores: list[float] = []
    gains: list[float] = []
    """Differences in what ranks, higher is better: on the recorded data first, then on the fresh."""
    fresh: int = 0
    """How many of the gains, the last ones, are on fresh data."""
    gain: float | None = None
    """Their mean."""
    spread: float | None = None
    """Their standard deviation."""
    least: float | None = None
    """The one-sided lower bound of the mean that the spread supports."""
    confidence: float = 0.0
    """Of that bound."""
    asked: bool = False


class NoiseMeasured(Data, frozen=True):
    """What the measurements of the seed say of the noise of a noisy task."""

    KIND = "noise.measured"

    measurements: int
    spread: float
    """Standard deviation of what ranks."""
    chance: float
    """Share of designs no better than the best that would be crowned."""
    note: str = ""
    """For people, what would help; empty if few would be."""


class StandstillBegan(Data, frozen=True):
    """No design has gained for long; the node is the best."""

    KIND = "standstill.began"

    evaluations: int
    """Designs measured since the last gain that counted."""
    window: int
    """How many without a gain make a standstill, for the run's pace."""
    least: float = 0.0
    """The gain in fitness above which it would count."""


class StandstillActed(Data, frozen=True):
    """From the next round on the search is changed, until a design gains or another change takes its place."""

    KIND = "standstill.acted"

    action: str
    """One of `engine.settings.standstill.ACTIONS`."""
    rounds: int
    """For how many rounds it is in force."""
    why: str = ""
    """Why this one, for people."""
    nodes: list[int] = []
    """restart: the nodes to go on from."""
    model: str = ""
    """model: the name of the one that designs."""
    tried: list[str] = []
    """lessons: what was tried since the last gain, in groups, the largest first."""


class StandstillEnded(Data, frozen=True):
    """A design gained; its node is the new best."""

    KIND = "standstill.ended"

    evaluations: int
    """Designs measured since the last gain that counted, this one included."""
    gain: float
    """In fitness, since then."""
    action: str = ""
    """The action that its round was under; empty if none was."""


class AnalyzeDone(Data, frozen=True):
    """The analyzer's report on a node."""

    KIND = "analyze.done"

    lesson: str
    note: str = ""
    analyzer: str = "rules"
    causes: list[str] = []
    """What made the result, the most important first; only a model's report has any."""
    next_step: str = ""
    """The change that is most worth trying next; only a model's report names one."""


# Priors


class PriorChanged(Data, frozen=True):
    """A prior was added, edited, disabled or removed while the run was alive."""

    KIND = "prior.changed"

    id: str
    revision: str = ""
    change: Literal["added", "edited", "enabled", "disabled", "removed"] = "edited"
    title: str = ""
    number: int = 0
    """Its revision in the cognition base; 0 if the base could not be read."""
    author: Literal["", "human", "file", "analyzer", "import"] = ""
    """Where the change was made: in a `file`, in the base by a `human`, by an `analyzer`, or by an `import`."""
    message: str = ""
    """The message of the change."""


class PriorWarned(Data, frozen=True):
    """Problems with the cognition base or with files of priors from now on; empty: none are left."""

    KIND = "prior.warned"

    problems: list[str] = []


class PriorsRecalled(Data, frozen=True):
    """Outcomes of the task's priors in earlier runs on the same cognition base; the designer begins with them."""

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
    """The node that the program was made from, if a person names one."""


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
    """A person commented on the node, or on the run."""

    KIND = "node.commented"

    text: str


class NodeRerun(Data, frozen=True):
    """The node is to be measured again in the ranking stage; another `eval.done` has the result."""

    KIND = "node.rerun"

    repeat: int = 0
    """Number of the new measurement."""
    on: str = ""
    """The machine of the cluster to measure it on, if it is still there then; empty for any."""


class BestCrowned(Data, frozen=True):
    """The node is the best so far."""

    KIND = "best.crowned"

    score: float
    previous: int | None = None
    machines: str = ""
    """How the machine that measured it differs from its parent's, if the task's scores depend on that; else empty."""


class SettingsChanged(Data, frozen=True):
    """A person changed settings of the run."""

    KIND = "settings.changed"

    settings: dict[str, Any]
    """Only what changed, nested as in `Settings`."""


class TaskChanged(Data, frozen=True):
    """The task's files on the disk differ from the recorded copy, or the copy was replaced by them."""

    KIND = "task.changed"

    files: dict[str, str]
    """Every path that differs now: `edited`, `added` or `removed`; empty: nothing differs any more. If the copy was
    replaced: path to the new blob, or `removed`."""
    adopted: bool = False
    """True: a person replaced the copy; the fields below describe the new one."""
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
    """The answer, for people."""
    code: str = ""
    """As in `engine.command_kinds.Answer`."""


class ActUndone(Data, frozen=True):
    """A person took back an earlier act; the events before this one are its opposite, if it has one."""

    KIND = "act.undone"

    act: int
    """The event that answered the act: its `command.done`."""
    name: str = ""
    """The kind of its command."""
    text: str = ""
    """What was taken back, for people."""


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


class _Decoders(dict[str, "msgspec.json.Decoder[Data]"]):
    """Make the decoder of a kind when it is first asked for: all of them take 4 ms."""

    def __missing__(self, kind: str) -> msgspec.json.Decoder[Data]:
        made = self[kind] = msgspec.json.Decoder(DATA_KINDS[kind])
        return made


DECODERS = _Decoders()
"""By kind, what decodes an event's data; a KeyError for a kind that this version does not know."""


def encode_data(data: Data) -> bytes:
    """Return an event's data as JSON.

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
    """Return an event's data from its JSON; None for a kind that this version does not know.

    Raises:
        msgspec.DecodeError: the JSON does not fit the kind.
    """
    return DECODERS[kind].decode(raw) if kind in DATA_KINDS else None
