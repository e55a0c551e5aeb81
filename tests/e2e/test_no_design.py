"""Runs that get no design in many rounds: they report it, wait for a person or stop, and retry on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.runs.folder import Run, is_alive
from tests.conftest import COMMAND, OPEN_EVALUATE, Evolve, TaskMaker
from tests.e2e.runs import (
    check_complete,
    check_integrity,
    events,
    finish,
    fold,
    let_go,
    make_run,
    start_engine,
    wait_for,
)
from tests.e2e.test_acts import ask
from tests.llm_server import LlmServer, Reply, Request, llm_server, search
from tests.tui.terminal import Terminal

BARE = "def point():\n    return [x * x for x in range(2)]\n"
"""A program in which nothing can be recombined."""
CHATTER = Reply("I would rather talk about something else.")
FULL = {"modes": {"full": 1.0, "diff": 0.0, "crossover": 0.0, "fix": 0.0}}


@pytest.fixture
def server() -> Iterator[LlmServer]:
    """Serve a model that answers but never writes a program."""
    with llm_server(lambda request: CHATTER) as served:
        yield served


def model_run(task: Path, runs: Path, server: LlmServer, **settings: object) -> Run:
    """Create a run in which a model designs whole programs."""
    models = {"m": {"model": "m", "base_url": server.url}}
    given = {"rounds": 40, "workers": 1, "designer": FULL, "roles": {"analyzer": "rules"}, **settings}
    return make_run(task, runs, models=models, **given)


def ended(run: Run) -> list[str]:
    """List how the rounds ended, in the order of their ends."""
    return [event.data.outcome for event in events(run, ev.RoundEnded) if event.round]  # type: ignore[attr-defined]


def wait_for_pause(run: Run) -> str:
    wait_for(lambda: fold(run).waits_for_person, "the pause")
    return fold(run).reason


def test_useless_model_stops_headless_run(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, tmp_path: Path
) -> None:
    where = ("--runs", tmp_path / "runs")
    done = evolve(
        "run", make_task(), "--headless", "--json", "--rounds", 40, "--workers", 1, *where, "--model", "m",
        "--base-url", server.url, "--set", "designer.modes.full=1", "--set", "designer.modes.diff=0",
    )  # fmt: skip
    assert (done.code, done.json["status"], done.json["rounds"], done.json["nodes"]) == (1, "stopped", 3, 1), done.err
    reason = done.json["reason"]
    assert reason.startswith("3 of 3 rounds gave no design; most often: the answer holds no program"), reason
    assert "models.NAME.model=" in reason and "evolve priors add" in reason
    assert f"'evolve resume {Run(Path(done.json['run'])).typed}'" in reason
    researched = sum("response_format" not in request.body for request in server.requests)
    assert researched == 3 * 4, "a round has four attempts"
    assert f"stopped: {reason}" in done.err
    assert evolve("runs", "--json", *where).json[0]["reason"] == reason
    # After a resume it tries three more rounds before it stops again.
    again = evolve("resume", "--headless", "--json", *where)
    assert (again.code, again.json["rounds"]) == (1, 6)
    assert again.json["reason"].startswith("6 of 6 rounds gave no design; most often: the answer holds no program")
    server.answer = search
    good = evolve("resume", "--headless", "--json", "--rounds", 8, *where)
    assert (good.code, good.json["status"], good.json["nodes"]) == (0, "finished", 3)
    check_integrity(Run(Path(done.json["run"])))


def test_rounds_in_flight_end_at_next_rejection(make_task: TaskMaker, server: LlmServer, tmp_path: Path) -> None:
    run = model_run(make_task(), tmp_path / "runs", server, workers=4)
    start_engine(run)
    reason = wait_for_pause(run)
    done = fold(run).rounds_done
    # The first three have all their attempts; of those started meanwhile no answer is asked for any more.
    assert 3 <= done <= 6 and f"{done} of {done} rounds gave no design" in reason
    assert not fold(run).open_rounds
    assert len(server.requests) <= 4 * 4 + 3 * 4


def test_detached_run_waits_with_reason_and_retries(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, tmp_path: Path
) -> None:
    run = model_run(make_task(), tmp_path / "runs", server, rounds=12)
    where = ("--runs", run.folder.parent)
    start_engine(run)
    reason = run.filled(wait_for_pause(run))
    entry = evolve("runs", "--json", *where).json[0]
    assert (entry["status"], entry["reason"]) == ("paused", reason)
    assert f"{run.name} is paused: {reason}" in evolve("runs", *where).out
    assert reason in evolve("show", *where).out
    asked = len(server.requests)
    assert ask(run, "pause") == "it is paused already"
    # A command that follows it without a terminal does not wait for ever.
    followed = evolve("attach", *where)
    assert followed.code == 1 and "evolve resume" in followed.err
    assert is_alive(run) and len(server.requests) == asked
    assert ask(run, "resume") == "resumed"
    wait_for(lambda: fold(run).rounds_done == 6, "three rounds more")
    assert wait_for_pause(run).startswith("6 of 6 rounds gave no design")
    server.answer = search
    assert ask(run, "resume") == "resumed"
    wait_for(lambda: not is_alive(run), "its end")
    assert (fold(run).status, fold(run).no_design, len(fold(run).nodes)) == ("finished", 6, 7)
    check_complete(run, 12)


def test_non_interactive_follow_stops_waiting_run(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, tmp_path: Path
) -> None:
    run = model_run(make_task(), tmp_path / "runs", server)
    start_engine(run)
    wait_for_pause(run)
    done = evolve("resume", "--headless", "--json", "--runs", run.folder.parent)
    assert (done.code, done.json["status"], done.json["rounds"]) == (1, "stopped", 6)
    assert done.json["reason"].startswith("6 of 6 rounds gave no design")
    assert not is_alive(run)


def test_step_of_waiting_run_is_one_round(make_task: TaskMaker, server: LlmServer, tmp_path: Path) -> None:
    run = model_run(make_task(), tmp_path / "runs", server)
    start_engine(run)
    reason = wait_for_pause(run)
    assert ask(run, "step") == "round 4 runs to its end"
    wait_for(lambda: fold(run).rounds_done == 4, "the round")
    server.answer = search
    assert ask(run, "step") == "round 5 runs to its end"
    wait_for(lambda: fold(run).rounds_done == 5, "the round")
    state = fold(run)
    assert (state.status, state.reason, len(state.nodes)) == ("paused", reason, 2)
    assert ask(run, "stop", now=True)


def test_additions_by_people_reset_count_of_rounds(make_task: TaskMaker, server: LlmServer, tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        if request.number == 11:
            # The third round's last attempt: what a person says now reaches the run before that round ends.
            send_command(run.db, "inject", {"what": "hint", "text": "write a program"})
            wait_for(lambda: fold(run).hints, "the hint")
        return CHATTER

    server.answer = answer
    run = model_run(make_task(), tmp_path / "runs", server)
    start_engine(run)
    wait_for_pause(run)
    assert fold(run).rounds_done == 5
    code = "def point():\n    return [3.0, 1.0]\n"
    assert "takes round 6" in ask(run, "inject", what="program", code=code)
    assert fold(run).status == "paused", "only a person ends the pause"
    ask(run, "resume")
    wait_for(lambda: fold(run).rounds_done >= 9 and fold(run).waits_for_person, "the next pause")
    assert ended(run) == ["no_design"] * 5 + ["node"] + ["no_design"] * 3
    assert fold(run).reason.startswith("the last 3 rounds gave no design")


def test_running_evaluations_are_awaited(make_task: TaskMaker, server: LlmServer, tmp_path: Path) -> None:
    """Others may be designed from a node that comes from a round in flight."""
    slow = OPEN_EVALUATE.replace("import runpy\n", "import os\nimport runpy\nimport time\n").replace(
        "    x, y =",
        "    gate = os.path.join(os.path.dirname(__file__), 'go')\n"
        "    while 'X = 0.5\\n' not in open(program_path).read() and not os.path.exists(gate):\n"
        "        time.sleep(0.01)\n    x, y =",
    )

    def answer(request: Request) -> Reply:
        return search(request) if request.number == 0 else CHATTER

    server.answer = answer
    run = model_run(make_task(evaluate=slow), tmp_path / "runs", server, workers=2, slots=1)
    start_engine(run)
    wait_for(lambda: ended(run) == ["no_design"] * 3, "three rounds beside the evaluation")
    state = fold(run)
    assert (state.status, len(state.open_rounds)) == ("running", 1)
    ask(run, "comment", text="the loop has looked at it since")
    assert (fold(run).rounds_started, fold(run).status) == (4, "running"), "no round is spent meanwhile"
    let_go(run)
    wait_for_pause(run)
    assert ended(run)[:4] == ["no_design"] * 3 + ["node"]
    assert set(ended(run)[4:]) == {"no_design"} and len(ended(run)) >= 7


def test_run_without_any_design_is_not_finished(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, tmp_path: Path
) -> None:
    run = model_run(make_task(), tmp_path / "runs", server, rounds=2)
    state = finish(run)
    assert state.status == "stopped", "there is no round left to wait with"
    assert state.reason.startswith("2 of 2 rounds gave no design; most often: the answer holds no program")
    assert "evolve resume RUN --rounds 52" in state.reason
    assert finish(run).reason == state.reason
    server.answer = search
    done = evolve("resume", "--headless", "--json", "--rounds", 3, "--runs", run.folder.parent)
    assert (done.code, done.json["nodes"]) == (0, 2)


def test_run_with_designs_is_finished_despite_failed_last_rounds(
    make_task: TaskMaker, server: LlmServer, tmp_path: Path
) -> None:
    server.answer = lambda request: search(request) if request.number == 0 else CHATTER
    state = finish(model_run(make_task(), tmp_path / "runs", server, rounds=4))
    assert (state.status, state.reason, state.no_design) == ("finished", "4 rounds are done", 3)


def test_nothing_to_recombine_names_two_remedies_that_work(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, tmp_path: Path
) -> None:
    run = make_run(make_task(seed=BARE), tmp_path / "runs", rounds=20, workers=1)
    start_engine(run)
    reason = wait_for_pause(run)
    assert reason.startswith(("3 of 3 rounds gave no design; most often: ", "nothing new can be designed: "))
    assert "evolve priors add" in reason and "models.NAME.model=" in reason
    tried = fold(run).rounds_done
    assert tried <= 3
    # A model may be named while the run waits.
    server.answer = lambda request: (
        search(request) if "response_format" in request.body or request.number < 2 else CHATTER
    )
    assert evolve("set", run.folder, "models.m.model=m", f"models.m.base_url={server.url}").code == 0
    assert ask(run, "resume") == "resumed"
    wait_for(lambda: fold(run).rounds_done >= tried + 3 and fold(run).waits_for_person, "the next pause")
    assert [node.operator for node in fold(run).nodes[1:]] != []
    # Recipes, which recombination may then use as well.
    recipe = "# Nearer\n\n```python recipe\ndef point():\n    return [3.0, 1.0]\n```\n"
    (Path(fold(run).start.priors)).mkdir(exist_ok=True)  # type: ignore[union-attr]
    Path(fold(run).start.priors, "nearer.md").write_text(recipe)  # type: ignore[union-attr]
    assert evolve("set", run.folder, "designer.recombine_share=1").code == 0
    known = len(fold(run).nodes)
    assert ask(run, "resume") == "resumed"
    wait_for(lambda: len(fold(run).nodes) > known, "a node of a recipe")
    assert fold(run).nodes[known].priors == ("nearer",)
    check_integrity(run)


def test_run_reports_that_all_combinations_are_made(make_task: TaskMaker, evolve: Evolve) -> None:
    seed = "FAR = True  # tune: flip\nSIDE = 1  # tune: choice 1|2|3\n\n\ndef point():\n    return [hash(FAR), SIDE]\n"
    done = evolve("run", make_task(seed=seed), "--headless", "--json", "--rounds", 40, "--workers", 1)
    assert (done.code, done.json["status"], done.json["nodes"]) == (1, "stopped", 6), done.err
    assert done.json["rounds"] <= 5 + 3, "it is told at once"
    assert "are programs that the run has had" in done.json["reason"] or "is made" in done.json["reason"]
    assert "evolve priors add" in done.json["reason"]


def test_run_of_killed_waiting_engine_retries(
    make_task: TaskMaker, evolve: Evolve, server: LlmServer, tmp_path: Path
) -> None:
    run = model_run(make_task(), tmp_path / "runs", server)
    engine = start_engine(run)
    wait_for_pause(run)
    engine.kill()
    engine.wait()
    assert evolve("runs", "--json", "--runs", run.folder.parent).json[0]["status"] == "dead"
    start_engine(run)
    wait_for(lambda: fold(run).rounds_done == 6, "three rounds more")
    wait_for_pause(run)


def test_application_shows_why_run_waits(make_task: TaskMaker, server: LlmServer, workspace: Path) -> None:
    run = model_run(make_task(), workspace / "runs", server, rounds=9)
    start_engine(run)
    terminal = Terminal([*COMMAND, "attach", run.name], (150, 40), cwd=Path(__file__).parents[2])
    try:
        terminal.read_until("‖ paused")
        terminal.read_until("3 of 3 rounds gave no design; most often: the answer holds no program")
        # The ways out, in full: broken into rows where nobody is at work now.
        terminal.read_until("designer.recombine_share=0.5")
        terminal.read_until(f"{run.name}' tries again")
        server.answer = search
        terminal.send("p")
        terminal.read_until("■ finished")
        terminal.send("q")
        assert terminal.process.wait(90) == 0
    finally:
        terminal.close()
    wait_for(lambda: not is_alive(run), "the engine to end")


def test_run_without_rounds_left_asks_for_more(make_task: TaskMaker, server: LlmServer, workspace: Path) -> None:
    run = model_run(make_task(), workspace / "runs", server, rounds=1)
    assert finish(run).status == "stopped"
    server.answer = search
    terminal = Terminal([*COMMAND, "attach", run.name], (100, 30), cwd=Path(__file__).parents[2])
    try:
        terminal.read_until("■ stopped")
        terminal.send("p")
        terminal.read_until("The run is stopped. Rounds in all, now 1")
        terminal.send("\x7f\x7f2\r")
        terminal.read_until("■ finished")
        terminal.send("q")
        assert terminal.process.wait(90) == 0
    finally:
        terminal.close()
    wait_for(lambda: not is_alive(run), "the engine to end")
    assert (fold(run).rounds_done, len(fold(run).nodes)) == (2, 2)
