"""Runs that stand still and get out again, with real engines and models behind real HTTP servers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from engine.journal import events as ev
from engine.runs.folder import Run
from tests.conftest import SEED, Evolve, TaskMaker
from tests.e2e.runs import events, finish, fold, make_run
from tests.llm_server import Reply, Request, llm_server
from tui.model.money import money_lines
from tui.model.run_model import fold_model

FULL = {"modes": {"full": 1.0, "diff": 0.0, "crossover": 0.0, "fix": 0.0}}
TOLD = "# Tried since the last gain, all in vain"


def program(number: int, gains: bool) -> Reply:
    """Return a program that is worse than the seed, or one that is better."""
    code = SEED.replace("X = 0.5", f"X = {1.25 + number / 256 if gains else -1.0 - number / 64}")
    return Reply(f"<name>move {number}</name>\n<motivation>to the left</motivation>\n<program>\n{code}</program>\n")


def told(run: Run) -> list[tuple[type[ev.Data], int | None, ev.Data]]:
    kinds = (ev.StandstillBegan, ev.StandstillActed, ev.StandstillEnded)
    return [(type(event.data), event.node, event.data) for event in events(run) if isinstance(event.data, kinds)]


def test_designer_that_is_told_what_was_in_vain_gets_the_run_out(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    settings = {"rounds": 9, "workers": 1, "roles": {"analyzer": "rules"}, "designer": FULL}
    still = {"action": "act", "window": 4, "actions": ["lessons"]}
    with llm_server(lambda request: program(request.number, TOLD in request.text)) as server:
        models = {"m": {"model": "m", "base_url": server.url}}
        run = make_run(make_task(), tmp_path / "runs", models=models, standstill=still, **settings)
        state = finish(run)
        asked = [request.text for request in server.requests]
    (began, acted, ended) = told(run)
    assert began[:2] == (ev.StandstillBegan, 0) and began[2] == ev.StandstillBegan(4, 4, 0.0)
    assert isinstance(acted[2], ev.StandstillActed) and acted[2].action == "lessons"
    (line,) = acted[2].tried
    assert line.startswith("4 ×: lost ") and "move" in line
    (first,) = [number for number, text in enumerate(asked) if TOLD in text][:1]
    assert first >= 4 and line in asked[first]
    assert isinstance(ended[2], ev.StandstillEnded) and ended[2].action == "lessons"
    gained = state.node(ended[1])
    assert gained.id in [step.node for step in state.best_steps]
    learned = {event.round: event.data for event in events(run, ev.LearnDone)}
    assert learned[gained.round].action == "lessons"  # type: ignore[attr-defined]
    assert state.standstill.credits["lessons"].gain > 0
    # The same answers give the same decisions.
    again = make_run(
        tmp_path / "tasks" / "point", tmp_path / "again", models=models, standstill=still,
        answers=str(run.folder), data_seed=0, **settings,
    )  # fmt: skip
    finish(again)
    assert told(again) == told(run)
    # It is told in words.
    where = ("--runs", tmp_path / "runs")
    assert "1 standstill, 1 overcome" in evolve("digest", "--since", "1d", *where).out
    assert "against standstills lessons" in evolve("show", *where).out
    entry = evolve("show", "--json", *where).json["standstill"]
    assert entry["credits"]["lessons"]["gain"] > 0 and entry["standing"] is False
    assert evolve("status", "--json", *where).json["standstill"] == entry


def test_strong_model_takes_over_and_its_rounds_go_on_after_a_resume(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    def answer(request: Request) -> Reply:
        return program(request.number, False)

    with llm_server(answer) as server:
        models = {
            "weak": {"model": "weak", "base_url": server.url, "price_out": 0.1},
            "strong": {"model": "strong", "base_url": server.url, "price_out": 5.0},
        }
        still = {"action": "act", "window": 3, "actions": ["model"]}
        run = make_run(
            make_task(), tmp_path / "runs", models=models, standstill=still, rounds=8, usd=9.0, workers=1,
            roles={"researcher": {"weak": 1.0}, "analyzer": "rules"}, designer=FULL,
        )  # fmt: skip
        finish(run)
        (_, acted) = told(run)
        assert isinstance(acted[2], ev.StandstillActed) and acted[2].model == "strong"
        assert "still 8 model" in evolve("status", "--runs", tmp_path / "runs").out
        server.answer = lambda request: program(request.number, request.body["model"] == "strong")
        again = evolve("resume", "--headless", "--json", "--rounds", 24, "--runs", tmp_path / "runs")
    assert again.code == 0 and again.json["best"]["score"] > fold(run).nodes[0].score, again.err  # type: ignore[operator]
    assert "out of the standstill after" in again.err
    learned = {event.round: event.data for event in events(run, ev.LearnDone)}
    for event in events(run, ev.CallStarted):
        wanted = learned[event.round]
        assert isinstance(wanted, ev.LearnDone) and isinstance(event.data, ev.CallStarted)
        assert wanted.model == ("strong" if wanted.action == "model" else "")
        assert event.data.model == (wanted.model or "weak")
    ended = next(data for kind, _, data in told(run) if kind is ev.StandstillEnded)
    assert isinstance(ended, ev.StandstillEnded) and ended.action == "model"


def test_model_that_gains_designs_most_and_the_same_answers_choose_alike(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    def answer(request: Request) -> Reply:
        return program(request.number, request.body["model"] == "good")

    roles = {"choice": "ucb", "per": "tokens", "analyzer": "rules"}
    designer = {"choice": "thompson", "modes": {"full": 0.5, "diff": 0.5}}
    settings = {"rounds": 12, "workers": 1, "roles": roles, "designer": designer, "data_seed": 0}
    with llm_server(answer) as server:
        models = {name: {"model": name, "base_url": server.url} for name in ("bad", "good")}
        run = make_run(make_task(), tmp_path / "runs", models=models, **settings)
        state = finish(run)
    chosen = [event.data.model for event in events(run, ev.LearnDone)]  # type: ignore[attr-defined]
    assert chosen == [event.data.model for event in events(run, ev.CallStarted)]  # type: ignore[attr-defined]
    assert chosen.count("good") > chosen.count("bad") > 0
    again = make_run(
        tmp_path / "tasks" / "point", tmp_path / "again", models=models, answers=str(run.folder), **settings
    )
    finish(again)
    assert [event.data.model for event in events(again, ev.CallStarted)] == chosen  # type: ignore[attr-defined]
    assert [node.program for node in fold(again).nodes] == [node.program for node in state.nodes]
    modes = [event.data.mode for event in events(run, ev.LearnDone)]  # type: ignore[attr-defined]
    assert modes == [event.data.mode for event in events(again, ev.LearnDone)]  # type: ignore[attr-defined]
    assert {mode: record.asked for mode, record in state.modes.items()} == Counter(modes) and len(state.modes) > 1
    tokens = {mode: record.tokens for mode, record in state.modes.items()}
    assert tokens == {mode: record.tokens for mode, record in fold(again).modes.items()} and all(tokens.values())
    found = {item["model"]: item for item in evolve("show", "--json", "--runs", tmp_path / "runs").json["models"]}
    assert found["good"]["asked"] == chosen.count("good") and found["good"]["gain"] > found["bad"]["gain"] == 0
    shown = "\n".join("".join(span.text for span in line) for line in money_lines(fold_model(events(run))))
    share = f"{chosen.count('good') / len(chosen):.0%}"
    assert "By way of writing" in shown and "ways of writing: " in evolve("show", "--runs", tmp_path / "runs").out
    assert "Designs by model" in shown and share in shown and state.models["good"].gained > 0
