"""The learn stage over a real journal and a real cognition base, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import RunError
from engine.journal import events as ev
from engine.loop.stages.learn import Learn
from engine.runs.folder import Run
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import Parts, add_node, measure, open_parts

PRIOR = "---\ntitle: Go far\n---\nMove the point towards (3, 1).\n"


@pytest.fixture
def run(make_task: TaskMaker, tmp_path: Path) -> Run:
    return make_run(make_task(priors={"far.md": PRIOR}), tmp_path / "runs", seed=5, sampler={"name": "random"})


async def learn(parts: Parts, round_: int) -> ev.LearnDone:
    """Run the stage in a new round; return what it recorded."""
    session = parts.session
    session.emit(ev.RoundStarted(), round=round_)
    await Learn(session, parts.sampler, parts.priors, parts.designer).run(round_)
    learned = session.state.open_rounds[round_].learned
    assert learned is not None
    return learned


async def test_learned_context_is_recorded_with_text_of_shown_priors(run: Run) -> None:
    async with open_parts(run) as parts:
        measure(parts.session, 0, -1.0)
        learned = await learn(parts, 1)
        assert learned.parent == 0
        assert [(shown.id, shown.title) for shown in learned.priors] == [("far", "Go far")]
        assert parts.session.text(learned.priors[0].revision) == PRIOR
    assert events(run, ev.LearnDone)[-1].data == learned


async def test_same_round_draws_the_same_context(run: Run, make_task: TaskMaker, tmp_path: Path) -> None:
    learned = []
    for copy in (run, make_run(tmp_path / "tasks" / "point", tmp_path / "other", seed=5, sampler={"name": "random"})):
        async with open_parts(copy) as parts:
            measure(parts.session, 0, -9.0)
            for node in range(1, 9):
                add_node(parts.session, -9.0 + node / 4)
            learned.append([await learn(parts, round_) for round_ in range(20, 26)])
    assert learned[0] == learned[1]
    assert len({(each.parent, *each.inspirations) for each in learned[0]}) > 1


async def test_pinned_node_becomes_parent(run: Run) -> None:
    async with open_parts(run) as parts:
        measure(parts.session, 0, -1.0)
        worst = add_node(parts.session, -50.0)
        parts.session.emit(ev.NodePinned(), node=worst)
        learned = await learn(parts, 9)
    assert (learned.parent, learned.why) == (worst, "pinned")
    assert worst not in learned.inspirations


async def test_run_ends_if_every_node_with_a_score_is_pruned(run: Run) -> None:
    async with open_parts(run) as parts:
        measure(parts.session, 0, -1.0)
        parts.session.emit(ev.NodePruned(), node=0)
        with pytest.raises(RunError, match="every node with a score is pruned"):
            await learn(parts, 1)


async def test_edited_prior_is_recorded_and_shown(run: Run) -> None:
    async with open_parts(run) as parts:
        measure(parts.session, 0, -1.0)
        before = await learn(parts, 1)
        path = next(iter(path for path in parts.priors.paths if path.is_dir())) / "far.md"
        path.write_text(PRIOR.replace("towards", "quickly towards"))
        after = await learn(parts, 2)
        assert before.priors[0].revision != after.priors[0].revision
        assert "quickly" in parts.session.text(after.priors[0].revision)
        # What was found while searching is recorded by the event loop.
        await parts.priors.look()
    assert [event.data.change for event in events(run, ev.PriorChanged)] == ["edited"]  # type: ignore[attr-defined]
