"""Count the tries, calls and designs of models that gave nothing, and describe them on one line."""

from __future__ import annotations

from collections.abc import Mapping

from engine.journal import events as ev
from engine.state.run_state import RunState
from engine.text import one_line

__all__ = [
    "NO_MODEL_ANSWERS",
    "count_call",
    "count_refusal",
    "count_retry",
    "count_start",
    "describe_in_vain",
    "in_vain",
    "trouble_key",
    "trouble_line",
]  # fmt: skip

NO_MODEL_ANSWERS = "no model answers"
"""How the reason begins for which a run is paused while no model can be asked."""
_REASON_LENGTH = 600


def count_start(state: RunState, data: ev.CallStarted) -> None:
    """Count an answer that could not be used, since the same is asked once more."""
    if _asks_again(data):
        _count(state, "refused")


def count_retry(state: RunState, event: ev.Event, data: ev.CallRetried) -> None:
    """Count a try that is followed by another one; the call's age starts again."""
    _count(state, "timed out" if data.ended_by else "retried")
    call = state.calls.get(data.call)
    if call is not None:
        state.calls[data.call] = call._replace(at=event.at)


def count_call(state: RunState, data: ev.CallDone) -> None:
    """Count a call without an answer, or one whose answer was cut off."""
    if data.error:
        if data.fault != "stopped":
            _count(state, "timed out" if data.ended_by else "failed")
    elif data.ended_by or data.truncated:
        _count(state, "cut off")


def count_refusal(state: RunState, event: ev.Event, data: ev.DesignRejected) -> None:
    """Count a design of a model that was refused; one without an answer is counted with its call."""
    call = state.answered.get((event.round, None, f"design/{data.attempt}"))
    if call is not None and not call.error:
        _count(state, "refused")


def _count(state: RunState, what: str) -> None:
    state.in_vain[what] = state.in_vain.get(what, 0) + 1


def _asks_again(data: ev.CallStarted) -> bool:
    return data.key.endswith("/repair")


def in_vain(state: RunState) -> Mapping[str, int]:
    """Return how often each kind of trouble with models occurred, including rounds without a design."""
    if not state.last_call or not state.no_design:
        return state.in_vain
    return {**state.in_vain, "without a design": state.no_design}


def describe_in_vain(state: RunState) -> str:
    """Return all kinds of trouble with models and their numbers; empty without any."""
    return ", ".join(f"{number:,} {what}" for what, number in in_vain(state).items())


def trouble_line(event: ev.Event) -> str:
    """Return one line on an event about trouble with models, with reason and cost; empty for other events."""
    where = f"r{event.round} " if event.round is not None else ""
    match event.data:
        # The most frequent first: each case that does not match costs an `isinstance`, which is slow for structs.
        case ev.RoundEnded() as data:
            refused = data.outcome == "no_design"
            return _line(f"{where}no design", data.reason, data.tokens, data.seconds) if refused else ""
        case ev.CallStarted() as data if _asks_again(data):
            return f"{where}{one_line(data.role, 20)}: its answer could not be used, it is asked once more"
        case ev.CallRetried() as data:
            what = f"{where}{one_line(data.role, 20)}, try {data.number}"
            return _line(what, data.reason, data.tokens_in + data.tokens_out, data.seconds)
        case ev.CallDone() as data if data.error and data.fault != "stopped":
            what = f"{where}{one_line(data.role, 20)}, no answer"
            return _line(what, data.error, data.tokens_in + data.tokens_out, data.seconds)
        case ev.CallDone() as data if data.truncated and not data.error:
            what = f"{where}{one_line(data.role, 20)}, answer cut off"
            return _line(what, _why_cut(data), data.tokens_in + data.tokens_out, data.seconds)
        case ev.DesignRejected() as data if data.call:
            said = data.reason if data.check in ("answer", "designer") else f"{data.check}: {data.reason}"
            return _line(f"{where}design refused", said, data.tokens, data.seconds)
    return ""


def _why_cut(data: ev.CallDone) -> str:
    """Return who ended an answer that is not whole, and the setting that counts."""
    setting = f"models.{data.model}.{data.ended_by or 'max_tokens'}"
    match data.ended_by:
        case "":
            return f"the endpoint ended it early; {setting} sets another limit"
        case "repetition":
            return "it says the same over and over"
        case "cap_tokens":
            return f"it is longer than a program can be ({setting})"
    return f"it takes longer than {setting}"


def trouble_key(event: ev.Event) -> tuple[object, ...]:
    """Return what two lines on trouble have in common that tell the same, whichever round, time and cost they have."""
    match event.data:
        case ev.CallRetried() as data:
            return data.KIND, data.role, data.model, data.number, data.reason
        case ev.CallDone() as data:
            return data.KIND, data.role, data.model, data.error, data.ended_by
        case ev.DesignRejected() as data:
            return data.KIND, data.check, data.reason
        case ev.RoundEnded() as data:
            return data.KIND, data.reason
    return event.data.KIND, getattr(event.data, "role", "")


def _line(what: str, reason: str, tokens: int, seconds: float) -> str:
    """Return one line; the cost comes before the reason, since narrow places cut the end."""
    cost = [f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"] if seconds else []
    cost += [f"{tokens:,} tok"] if tokens else []
    return f"{', '.join([what, *cost])}: {one_line(reason, _REASON_LENGTH)}"
