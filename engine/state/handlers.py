"""Change the state of a run by an event, one handler a kind; other kinds change only its position.

A handler raises LookupError or ValueError if its event contradicts those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.journal import events as ev
from engine.journal.events import Event
from engine.settings.decode import deep_merge
from engine.settings.model import Settings
from engine.state.armed import ARMED_HANDLERS
from engine.state.attempts import behaves_as, count_child, count_refused
from engine.state.calls import CALL_HANDLERS
from engine.state.design_credit import count_design
from engine.state.mode_choice import count_asked
from engine.state.model_record import ModelRecord, count_answer
from engine.state.no_design import count_in_vain, is_stuck, try_anew
from engine.state.node import BestStep, Node, NodeEvaluation, OpenRound, ProbeRecord, RunStatus
from engine.state.novelty import count_near, count_probed, hold_taken, note_probe
from engine.state.people import PEOPLE_HANDLERS
from engine.state.ranks import rank_all, rank_measured
from engine.state.run_state import RunState
from engine.state.standstill import STANDSTILL_HANDLERS, count_gain, count_measured
from engine.state.submissions import SUBMISSION_HANDLERS, name_of_evaluation, settle
from engine.state.trouble import count_refusal
from engine.state.undoable import UNDO_HANDLERS, remembered
from engine.state.verification import VERIFY_HANDLERS
from engine.task.spec import PROBE, TaskSpec

__all__ = ["HANDLERS"]

_MENDABLE: tuple[ev.Status, ...] = ("invalid", "crashed", "timeout")

_END_STATUS: dict[str, RunStatus] = {
    ev.RunStopped.KIND: "stopped",
    ev.RunFinished.KIND: "finished",
    ev.RunFailed.KIND: "failed",
}


def _round(event: Event) -> int:
    """Return the round that an event belongs to."""
    if event.round is None:
        raise LookupError("it has no round")
    return event.round


# The run


def _run_started(state: RunState, event: Event, data: ev.RunStarted) -> None:
    raise ValueError("the run starts twice")


def _engine_started(state: RunState, event: Event, data: ev.EngineStarted) -> None:
    state.engine = data
    state.engine_gone = False
    state.status = "running"
    state.reason = ""
    state.frozen = False
    state.waits_for_person = False
    state.cluster = {}
    # An engine that evaluates elsewhere adopts none of them.
    state.submitted = {name: item for name, item in state.submitted.items() if item.executor == data.executor}
    try_anew(state)
    state.verifications = {node: item for node, item in state.verifications.items() if not item.started.resting}
    for evaluation in state.evaluations.values():
        evaluation.running = None
        evaluation.progress = None


def _paused(state: RunState, event: Event, data: ev.RunPaused) -> None:
    state.status = "paused"
    state.frozen = data.now
    state.reason = data.reason
    state.waits_for_person = data.no_design


def _resumed(state: RunState, event: Event, data: ev.RunResumed) -> None:
    state.status = "running"
    state.frozen = False
    state.reason = ""
    state.waits_for_person = False
    if is_stuck(state):
        # If the run is not stuck, the rounds still count: a model that was away is no better a designer now.
        try_anew(state)


def _ended(state: RunState, event: Event, data: ev.RunStopped | ev.RunFinished | ev.RunFailed) -> None:
    state.status = _END_STATUS[data.KIND]
    state.reason = data.reason
    state.interrupted = isinstance(data, ev.RunStopped) and data.signal == "SIGINT"
    state.frozen = False
    state.waits_for_person = False


def _engine_gone(state: RunState, event: Event, data: ev.EngineGone) -> None:
    state.engine_gone = True


def _clock_stepped(state: RunState, event: Event, data: ev.ClockStepped) -> None:
    if state.status == "running":
        state.engine_ms += data.passed_ms
    # Open rounds, evaluations and calls keep their age.
    for round_ in state.open_rounds.values():
        round_.started_at += data.by_ms
    for evaluation in state.evaluations.values():
        if evaluation.started_at:
            evaluation.started_at += data.by_ms
    state.calls = {number: call._replace(at=call.at + data.by_ms) for number, call in state.calls.items()}


def _run_warmed(state: RunState, event: Event, data: ev.RunWarmed) -> None:
    state.warm = data.programs


def _run_forked(state: RunState, event: Event, data: ev.RunForked) -> None:
    state.forked = data
    state.forked_at = event.at
    state.status = "stopped"
    state.frozen = False
    state.waits_for_person = False
    state.reason = f"forked from {data.parent} at {data.at_seq}"
    if not data.own_priors:
        # They wait in the base that both runs read, as proposals of the other run.
        state.proposed = {}
    # What the other run has submitted is its own.
    state.submitted = {}
    for evaluation in state.evaluations.values():
        evaluation.running = None
        evaluation.progress = None


def _task_changed(state: RunState, event: Event, data: ev.TaskChanged) -> None:
    if not data.adopted:
        state.task_changes = data.files
        return
    state.task_changes = {}
    files = {path: blob for path, blob in (state.start.files | data.files).items() if blob != "removed"}
    state.start = msgspec.structs.replace(
        state.start,
        files=files,
        large_files=data.large_files,
        spec=data.spec,
        source=data.source,
        priors=data.priors,
    )
    state.spec = msgspec.convert(data.spec, TaskSpec)
    # Another evaluator may probe and measure otherwise.
    state.probes = ProbeRecord(taken=state.probes.taken)


def _settings_changed(state: RunState, event: Event, data: ev.SettingsChanged) -> None:
    state.settings_table = deep_merge(state.settings_table, data.settings)
    # A budget that was changed is warned of again.
    state.warned = {name: share for name, share in state.warned.items() if name not in data.settings}
    try_anew(state)
    before, state.settings = state.settings.fitness, msgspec.convert(state.settings_table, Settings)
    if state.settings.fitness != before:
        rank_all(state)


# Rounds


def _round_started(state: RunState, event: Event, data: ev.RoundStarted) -> None:
    number = _round(event)
    injected = state.injected.pop(data.injected, None) if data.injected is not None else None
    state.open_rounds[number] = OpenRound(number, data.worker, event.at, injected)
    state.rounds_started = max(state.rounds_started, number)


def _round_ended(state: RunState, event: Event, data: ev.RoundEnded) -> None:
    number = _round(event)
    round_ = state.open_rounds.pop(number, None)
    _forget_answers(state, number)
    if number == 0:
        state.seeds_done = True
        return
    state.rounds_done += 1
    if data.outcome == "node":
        # The new node may be a parent that allows other designs.
        try_anew(state)
        return
    state.no_design += 1
    count_asked(state, round_)
    count_in_vain(state, data, [] if round_ is None else round_.rejected)


def _learned(state: RunState, event: Event, data: ev.LearnDone) -> None:
    state.node(data.parent).expanded += 1
    state.failed.pop(data.parent, None)
    for shown in {data.parent, *data.inspirations}:
        state.node(shown).shown += 1
    state.priors_shown = state.priors_shown or bool(data.priors)
    for prior in data.priors:
        state.prior_revisions[prior.id] = prior.revision
    round_ = state.open_rounds.get(event.round or 0)
    if round_ is not None:
        round_.learned = data


def _forget_answers(state: RunState, round_: int | None, node: int | None = None) -> None:
    """Drop the recorded answers of a round, or of one of its nodes: they are not needed again."""
    for name in [name for name in state.answered if name[0] == round_ and node in (None, name[1])]:
        del state.answered[name]


def _design_rejected(state: RunState, event: Event, data: ev.DesignRejected) -> None:
    round_ = state.open_rounds.get(event.round or 0)
    if round_ is not None:
        if data.check not in ("designer", "duplicate", "near"):
            count_answer(state.models, state.answered, round_, False)
        round_.rejected.append(data)
        if round_.learned is not None:
            count_refused(state.attempts, round_.learned.parent, data)
    state.novelty.refused += data.check == "near"
    count_refusal(state, event, data)


def _prompts_shortened(state: RunState, event: Event, data: ev.PromptsShortened) -> None:
    state.models.setdefault(data.model, ModelRecord()).brief = True


def _designed(state: RunState, event: Event, data: ev.DesignDone) -> None:
    number = len(state.nodes)
    if event.node != number:
        raise ValueError(f"node {event.node} comes out of order")
    for parent in data.parents:
        state.node(parent)
    round_number = event.round or 0
    round_ = state.open_rounds.get(round_number)
    learned = None if round_ is None else round_.learned
    answer = None if round_ is None else state.answered.get((round_number, None, f"design/{len(round_.rejected)}"))
    state.nodes.append(
        Node(
            id=number,
            round=round_number,
            parents=tuple(data.parents),
            program=data.program,
            operator=data.operator,
            name=data.name,
            motivation=data.motivation,
            priors=tuple(data.priors),
            designed_at=event.at,
            size=data.size,
            sketch=data.sketch,
            model="" if answer is None else answer.model,
            island=learned.island if learned is not None and data.parents[:1] == [learned.parent] else None,
        )
    )
    for digest in (data.digest, data.canon):
        state.digests.setdefault(digest, number)
    if data.near:
        for near in data.near:
            state.node(near.node)
        state.novelty.waiting[number] = data.near
    try_anew(state)
    state.refusals.clear()
    state.evaluations[number] = NodeEvaluation()
    if round_ is not None:
        count_answer(state.models, state.answered, round_, True)
        count_asked(state, round_)
        round_.node = number


# Evaluations


def _eval_started(state: RunState, event: Event, data: ev.EvalStarted) -> None:
    evaluation = state.evaluations.get(event.node or 0)
    if evaluation is not None:
        evaluation.running = data
        state.node(event.node).given_blob = data.given_blob
        evaluation.progress = None
        evaluation.host = ""
        evaluation.started_at = event.at


def _eval_progress(state: RunState, event: Event, data: ev.EvalProgress) -> None:
    evaluation = state.evaluations.get(event.node or 0)
    if evaluation is not None:
        evaluation.progress = data


def _eval_stage_done(state: RunState, event: Event, data: ev.EvalStageDone) -> None:
    evaluation = state.evaluations.get(event.node or 0)
    if evaluation is not None:
        evaluation.done.append(data)
        evaluation.running = None
        if data.stage == PROBE and evaluation.rerun is None:
            note_probe(state, state.node(event.node).id, data)
    if data.host:
        state.measured[data.host] = state.measured.get(data.host, 0) + 1
    if state.submitted:
        settle(state, name_of_evaluation(event.node or 0, data.stage, data.repeat))


def _eval_done(state: RunState, event: Event, data: ev.EvalDone) -> None:
    node = state.node(event.node)
    again = node.status is not None
    if node.status is not None:
        state.counts[node.status] -= 1
    node.status = data.status
    node.score = data.score
    node.metrics = data.metrics
    node.reason = data.reason
    node.seconds = data.seconds
    node.verified = data.verified
    node.judge = data.judge
    node.measurements = data.measurements
    node.spread = data.spread
    node.taken_from = data.taken_from
    hold_taken(state, node, again)
    # Another node may have become the best, so that it was verified in vain.
    state.verifications.pop(node.id, None)
    evaluation = state.evaluations.pop(node.id, None)
    if evaluation is not None and evaluation.done:
        node.machine, node.host = evaluation.done[-1].machine, evaluation.done[-1].host
        node.stderr_blob = evaluation.done[-1].stderr_blob
        node.feedback_blob = evaluation.done[-1].feedback_blob
        node.picture_blob = evaluation.done[-1].picture_blob
        kept = (done.construction_blob for done in reversed(evaluation.done) if done.construction_blob)
        node.construction_blob = next(kept, node.construction_blob)
    state.counts[data.status] = state.counts.get(data.status, 0) + 1
    before = state.hypervolume
    rank_measured(state, node)
    # Sums in another order differ in their last digits.
    if node.hypervolume is not None and (not again or state.hypervolume > before * (1.0 + 1e-9)):
        state.rounds_at_best = _rounds_with(state, node)
    if node.parents:
        node.same_as = behaves_as(node, state.nodes[node.parents[0]])
        if not again:
            count_child(state.attempts, node)
    if not again:
        count_near(state, node)
        count_probed(state, node)
        count_measured(state, node)
        count_design(state, node)
    state.failed.pop(node.id, None)
    if data.status in _MENDABLE and node.round and not node.expanded:
        state.failed[node.id] = None


def _crowned(state: RunState, event: Event, data: ev.BestCrowned) -> None:
    node, before = state.node(event.node), state.best_node
    count_gain(state, node, None if before is None else before.fitness)
    state.best = node.id
    state.rounds_at_best = _rounds_with(state, node)
    state.best_steps.append(BestStep(event.seq, event.at, node.round, node.id, data.score, node.fitness))


def _rounds_with(state: RunState, node: Node) -> int:
    """Return the rounds done, with the node's own: round 0 is not counted, and one that has ended adds none."""
    return state.rounds_done + (node.round > 0 and node.round in state.open_rounds)


def _analyzed(state: RunState, event: Event, data: ev.AnalyzeDone) -> None:
    node = state.node(event.node)
    node.lesson = data.lesson
    node.causes, node.next_step = tuple(data.causes), data.next_step
    node.analyzed = True
    # A rerun ends with its analysis.
    if node.round not in state.open_rounds:
        _forget_answers(state, node.round, node.id)


def _warned(state: RunState, event: Event, data: ev.BudgetWarned) -> None:
    state.warned[data.budget] = data.share


def _prior_proposed(state: RunState, event: Event, data: ev.PriorProposed) -> None:
    state.proposed[data.id] = data
    state.proposed_titles.add(data.title)


def _prior_decided(state: RunState, event: Event, data: ev.PriorAccepted | ev.PriorRejected) -> None:
    state.proposed.pop(data.id, None)


def _prior_changed(state: RunState, event: Event, data: ev.PriorChanged) -> None:
    taken_away = data.change in ("disabled", "removed")
    state.prior_revisions[data.id] = "" if taken_away else data.revision
    if not taken_away:
        try_anew(state)


def _priors_recalled(state: RunState, event: Event, data: ev.PriorsRecalled) -> None:
    state.priors_recalled = True


def _prior_warned(state: RunState, event: Event, data: ev.PriorWarned) -> None:
    state.prior_problems = data.problems


def _rerun(state: RunState, event: Event, data: ev.NodeRerun) -> None:
    node = state.node(event.node)
    state.evaluations[node.id] = NodeEvaluation(rerun=data.repeat, on=data.on)
    _forget_answers(state, event.round, node.id)


HANDLERS: dict[str, Callable[[RunState, Event, Any], None]] = {
    ev.RunStarted.KIND: _run_started,
    ev.EngineStarted.KIND: _engine_started,
    ev.RunPaused.KIND: _paused,
    **remembered(ARMED_HANDLERS),
    ev.RunResumed.KIND: _resumed,
    ev.RunStopped.KIND: _ended,
    ev.RunFinished.KIND: _ended,
    ev.RunFailed.KIND: _ended,
    ev.EngineGone.KIND: _engine_gone,
    ev.ClockStepped.KIND: _clock_stepped,
    ev.RunWarmed.KIND: _run_warmed,
    ev.RunForked.KIND: _run_forked,
    **remembered({ev.SettingsChanged.KIND: _settings_changed}),
    ev.TaskChanged.KIND: _task_changed,
    ev.RoundStarted.KIND: _round_started,
    ev.RoundEnded.KIND: _round_ended,
    ev.LearnDone.KIND: _learned,
    **CALL_HANDLERS,
    ev.DesignRejected.KIND: _design_rejected,
    ev.DesignDone.KIND: _designed,
    ev.PromptsShortened.KIND: _prompts_shortened,
    ev.EvalStarted.KIND: _eval_started,
    ev.EvalProgress.KIND: _eval_progress,
    ev.EvalStageDone.KIND: _eval_stage_done,
    ev.EvalDone.KIND: _eval_done,
    **SUBMISSION_HANDLERS,
    **VERIFY_HANDLERS,
    **STANDSTILL_HANDLERS,
    ev.BestCrowned.KIND: _crowned,
    ev.AnalyzeDone.KIND: _analyzed,
    ev.BudgetWarned.KIND: _warned,
    ev.PriorProposed.KIND: _prior_proposed,
    ev.PriorAccepted.KIND: _prior_decided,
    ev.PriorRejected.KIND: _prior_decided,
    ev.PriorChanged.KIND: _prior_changed,
    ev.PriorsRecalled.KIND: _priors_recalled,
    ev.PriorWarned.KIND: _prior_warned,
    **remembered(PEOPLE_HANDLERS),
    **UNDO_HANDLERS,
    ev.NodeRerun.KIND: _rerun,
}
"""The handler of each kind of event."""
