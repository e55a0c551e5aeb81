"""Rounds that end without a design: decide when a run stops trying, and explain why.

After three of them in a row (`designer.give_up`), or one whose designer is certain that nothing new is possible, no
further round starts. Rounds in flight are completed; if one of them yields a design or measures a node, the run goes
on. Otherwise it waits for a person, or ends if it is unattended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.journal.events import DesignRejected, RoundEnded
from engine.settings.model import designs_by_command, designs_by_model
from engine.state.run_state import RunState
from engine.text import one_line

__all__ = ["count_in_vain", "is_stuck", "reason_of", "try_anew", "was_in_vain"]

_ADD = "'evolve priors add FILE.md --task TASK'"
_SAID = 200
"""Characters that are shown of a refusal."""


def is_stuck(state: RunState) -> bool:
    """Return whether no further round should start until something changes."""
    return state.without_design >= state.settings.designer.give_up or bool(state.exhausted)


def was_in_vain(state: RunState) -> bool:
    """Return whether rounds were done and none of them made a node."""
    return 0 < state.rounds_done == state.no_design


def try_anew(state: RunState) -> None:
    """Reset the count of rounds without a design: their causes may be gone, or a person wants another try."""
    state.without_design = 0
    state.exhausted = ""


def count_in_vain(state: RunState, ended: RoundEnded, refused: Sequence[DesignRejected]) -> None:
    """Count a round that ended without a design."""
    state.without_design += 1
    state.exhausted = ended.reason if ended.exhausted else ""
    for rejected in refused:
        _count_refusal(state, rejected)


def _count_refusal(state: RunState, rejected: DesignRejected) -> None:
    """Count a refusal by its kind: reasons that differ in numbers or details alone are the same kind."""
    # The text after a semicolon is advice for the designer, not for the person.
    reason = rejected.reason if rejected.check == "designer" else rejected.reason.partition("; ")[0]
    kind = re.sub(r"\d+", "#", reason.partition(": ")[0])
    said = reason if rejected.check in ("designer", "answer") else f"{rejected.check}: {reason}"
    times, _ = state.refusals.get((rejected.check, kind), (0, ""))
    state.refusals[rejected.check, kind] = times + 1, one_line(said, _SAID)


def reason_of(state: RunState) -> str:
    """Return why the run does not go on by itself, and what a person can do."""
    if state.exhausted:
        said = f"nothing new can be designed: {one_line(state.exhausted, _SAID)}"
    else:
        done = state.rounds_done
        said = f"{done} of {done}" if was_in_vain(state) else f"the last {state.without_design}"
        said += " rounds gave no design"
        if state.refusals:
            said += f"; most often: {max(state.refusals.values(), key=lambda refusal: refusal[0])[1]}"
    more = f" --rounds {state.settings.rounds + 50}" if state.rounds_started >= state.settings.rounds else ""
    return f"{said}. {_ways_out(state)}; then 'evolve resume RUN{more}' tries again"


def _ways_out(state: RunState) -> str:
    designer = state.settings.designer
    if designs_by_command(state.settings):
        return "Mend the command, or name another one ('evolve set RUN command.run=[…]')"
    if designs_by_model(state.settings):
        share = "" if designer.recombine_share else ", 'evolve set RUN designer.recombine_share=0.5'"
        return f"Name another model ('evolve set RUN models.NAME.model=…'), or have recipes recombined ({_ADD}{share})"
    if designer.name == "auto":
        return f"Add recipes ({_ADD}), or name a model ('evolve set RUN models.NAME.model=… models.NAME.base_url=…')"
    return f"Add recipes ({_ADD}), or begin a run with a model ('evolve run TASK --model NAME --base-url URL')"
