"""The registry of commands: what it declares is what engine and askers do, and old answers are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.loop.commands import ACTS
from engine.runs.command_kinds import COMMANDS, Answer, Refusal, check_command, read_answer, refuse
from engine.runs.effects import EFFECTS

SAMPLES = Path(__file__).parents[2] / "sample_runs"

values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dictionaries(st.text(), st.none())
)
names = st.one_of(st.text(), st.sampled_from([name for kind in COMMANDS.values() for name in kind.fields]))


def test_every_command_is_carried_out_in_one_place() -> None:
    assert EFFECTS.keys().isdisjoint(ACTS)
    assert EFFECTS.keys() | ACTS.keys() == COMMANDS.keys()
    assert {name for name, kind in COMMANDS.items() if kind.when_no_engine == "refuse"} == ACTS.keys()


@given(st.one_of(st.text(), st.sampled_from(list(COMMANDS))), st.dictionaries(names, values, max_size=4))
def test_a_command_is_taken_exactly_as_it_is_declared(kind: str, data: dict[str, object]) -> None:
    known = COMMANDS.get(kind)
    fits = known is not None and all(
        name in known.fields and (value is None or type(value) is known.fields[name]) for name, value in data.items()
    )
    if fits:
        check_command(kind, data)
    else:
        with pytest.raises(Refusal):
            check_command(kind, data)


def test_a_slip_is_named_with_what_was_meant() -> None:
    with pytest.raises(Refusal, match="Did you mean 'prune'"):
        check_command("prun", {"node": 1})
    with pytest.raises(Refusal, match=r"prune takes no 'subtre'. Did you mean 'subtree'"):
        check_command("prune", {"node": 1, "subtre": True})
    with pytest.raises(Refusal, match="'node' is True, and should be a whole number"):
        check_command("pin", {"node": True})


def test_answers_of_earlier_versions_are_read() -> None:
    assert read_answer(ev.CommandDone(1, "pin", True, "node 1 is pinned")) == Answer(True, "done", "node 1 is pinned")
    assert read_answer(ev.CommandDone(1, "pin", False, "no")) == Answer(False, "refused", "no")
    assert read_answer(ev.CommandDone(1, "stop", False, "no", "ended")) == Answer(False, "ended", "no")
    assert refuse(UsageError("no", "do this")) == Answer(False, "refused", "no. do this")
    found = 0
    for path in sorted(SAMPLES.glob("*/run.db")):
        with JournalReader(path) as reader:
            for event in reader.events_of(ev.CommandDone):
                assert isinstance(event.data, ev.CommandDone)
                answer = read_answer(event.data)
                assert answer.code == ("done" if answer.ok else "refused") and answer.text
                found += 1
    assert found, "a sample run was steered by a person"
