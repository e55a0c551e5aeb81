"""What designers are told of a search, and the short form of prompts for small models."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from cognition.prior import parse_prior
from engine.journal.events import Event, RunStarted
from engine.llm.messages import PromptSize
from engine.llm.prompt_size import prompt_size, room_after
from engine.llm.prompts import most_tokens
from engine.llm.requests import Failed, Mode, Standing, Tried
from engine.settings.model import Settings
from engine.settings.models import ModelSpec
from engine.state.model_record import ModelRecord
from engine.state.run_state import RunState
from engine.task.load import find_task, load_task
from engine.task.spec import Task, TaskSpec
from tests.conftest import TaskMaker
from tests.engine.llm.test_prompts import MODES, SEED, TASK, context, prompt, request


def told(mode: Mode = "full", task: Task = TASK, **fields: object) -> str:
    return prompt(request(mode, **fields), task=task)[1].content


def test_metrics_of_all_nodes_are_shown_with_direction_and_meaning(make_task: TaskMaker) -> None:
    toml = '[metrics.loss]\ndirection = "minimize"\ntext = "held-out loss"\n[run.fitness.parts]\n'
    task = load_task(make_task(toml=toml + 'speed = {direction = "maximize"}\n'))
    parent = replace(context(3, SEED, 2.5), metrics={"score": 2.5, "loss": 0.52, "data": "tiny"})
    best = replace(context(8, "", 2.75), metrics={"score": 2.75, "loss": 0.41, "data": "tiny"})
    other = replace(context(1, "A = 1\n", 2.0), metrics={"score": 2.0, "loss": 0.6, "data": "tiny", "speed": 7})
    system, user = prompt(replace(request(inspirations=[other]), parent=parent, best=best), task=task)
    assert "`loss` (lower is better): held-out loss.\n`speed` (higher is better).\n" in system.content
    assert "- loss: #3 0.52, #8 0.41, #1 0.6\n- speed: #1 7\n- data: tiny for all\n" in user.content
    assert "score: #3" not in user.content, "it stands in the headings"


def test_what_was_tried_and_how_far_the_search_is_are_shown() -> None:
    user = told(
        tried=[Tried("two starts", "2.4, worse by 0.1"), Tried("no margin", "crashed: ZeroDivisionError")],
        failed=[Failed("crashed: ZeroDivisionError", 20)],
        standing=Standing(4, 27, 30, 12, ((8, 2.634), (5, 2.6)), 2.636),
        best=context(8, "", 2.634),
    )
    assert "two starts: 2.4, worse by 0.1\nno margin: crashed: ZeroDivisionError\n" in user
    assert "20 × crashed: ZeroDivisionError\n" in user
    assert "#3 ranks 4 of 27. The best is #8 with 2.634, for 12 rounds now; before it #5 with 2.6." in user
    assert "The target is sum_radii 2.636: 0.002 are missing." in user


def test_report_and_feedback_are_shown() -> None:
    fields: dict[str, Any] = {"causes": ("walls",), "next_step": "more starts", "feedback": "circle 7 is small"}
    parent = replace(request().parent, **fields)
    user = prompt(replace(request(), parent=parent))[1].content
    assert "swapped refine: gained 0.1\nCauses: walls\nWorth trying next: more starts\n" in user
    assert "circle 7 is small" in user


def test_node_beside_the_parent_is_shown_as_a_difference_where_that_is_shorter() -> None:
    near = replace(context(4, SEED.replace("MARGIN = 0.01", "MARGIN = 0.02")), why="better by 0.1")
    user = told(inspirations=[near, context(5, "def other(): pass")])
    assert "# Program #4: sum_radii 1 (better by 0.1)\n" in user
    assert "-MARGIN = 0.01" in user
    assert "+MARGIN = 0.02" in user
    assert "def other(): pass" in user
    assert user.count("def construct_packing") == 1


def test_failed_program_and_what_was_changed_come_first() -> None:
    origin = context(2, SEED.replace("MARGIN = 0.01", "MARGIN = 0.02"), 2.25)
    user = told("fix", origin=origin)
    places = [user.index(part) for part in (SEED.strip(), "ValueError: no", "-MARGIN = 0.02", "# Wishes", "# What is")]
    assert places == sorted(places)
    assert "made from #2 (sum_radii 2.25)" in user


def test_tune_comments_are_explained_where_there_are_any() -> None:
    assert "A comment `# tune: …` says" in told()
    plain = replace(request().parent, code="A = 1\n")
    assert "# tune:" not in prompt(replace(request(), parent=plain))[1].content


# The short form

RECIPE = (
    "# Hexagonal\n\nRows.\n\n```python recipe\nimport numpy as np\n\nROWS = 5  # tune: effort 1..9\nOTHER = 3\n\n\n"
    'def _row(k):\n    """A row."""\n    return ROWS - k\n\n\ndef unused():\n    return OTHER\n\n\n'
    'def initial_centers(rng):\n    """Rows."""\n    return np.array([_row(1)])\n```\n'
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task", ["circle_packing", "linear_attention", "drug_target"])
def test_short_form_asks_for_one_function_in_about_1200_tokens(mode: Mode, task: str) -> None:
    loaded = load_task(find_task(task))
    code = loaded.seeds[0].code
    asked = request(mode, tried=[Tried("a", "b")] * 5, priors=[parse_prior("hexagonal", RECIPE)])
    asked = replace(asked, parent=replace(asked.parent, code=code), inspirations=[context(5, code)])
    messages = prompt(asked, PromptSize(30_000, 1_200, brief=True), task=loaded)
    # The whole program stands in it where nobody knows which function failed.
    assert most_tokens(messages) < 1_500 or (mode == "fix" and len(code) > 2_000)
    system, user = messages
    names_function = re.search(r"Write `\w+` anew so that `\w+` gets (higher|lower)", user.content)
    # A small model that is shown an example answers with the example: there is one only if no function is named.
    assert ("def centre(values)" in user.content) == (names_function is None) == (mode == "fix")
    assert "def centre(values)" not in system.content
    assert "<program>" not in system.content + user.content
    assert "# tune" not in user.content


def test_short_form_shows_the_function_of_a_recipe_with_what_it_needs() -> None:
    asked = request(priors=[parse_prior("hexagonal", RECIPE)])
    size = PromptSize(30_000, brief=True)
    users = [prompt(replace(asked, seed=seed), size)[1].content for seed in range(8)]
    shown = [user for user in users if "# Another version of initial_centers: Hexagonal" in user]
    assert 0 < len(shown) < 8
    code = shown[0][shown[0].index("# Another version") :]
    for part in (
        "import numpy as np\n",
        "ROWS = 5\n",
        "def _row(k):\n    return ROWS - k\n",
        "np.array([_row(1)])\n```",
    ):
        assert part in code
    assert "OTHER" not in code


def test_short_form_asks_for_no_function_that_nothing_uses() -> None:
    code = (
        f"{TASK.seeds[0].code}\n\ndef spare(centers, rng):\n    return centers + rng.normal(0, 0.01, centers.shape)\n"
    )
    asked = replace(request(), parent=context(0, code, 1.0))
    users = [prompt(replace(asked, seed=seed), PromptSize(30_000, brief=True))[1].content for seed in range(40)]
    named = {found[1] for user in users if (found := re.search(r"Write `(\w+)` anew", user))}
    assert "spare" not in named and {"construct_packing", "search", "polish"} <= named


def test_recipes_are_shortened_before_priors_are_left_out() -> None:
    asked = request(inspirations=[], priors=[parse_prior("hexagonal", RECIPE)], hints=[])
    whole = prompt(asked)
    short = prompt(asked, PromptSize(30_000, most_tokens(whole) - 1))[1].content
    assert "def initial_centers" in short[short.index("# What is known") :]
    assert "unused" not in short
    assert "unused" in whole[1].content


def test_size_follows_settings_and_what_a_model_has_shown() -> None:
    settings = Settings(models={"m": ModelSpec("m", context_tokens=9000, max_tokens=1000)})
    spec = msgspec.to_builtins(TaskSpec("t", "maximize"))
    state = RunState(Event(1, 0, None, None, RunStarted("t", msgspec.to_builtins(settings), spec, {})))
    assert prompt_size(state, "m") == PromptSize(8000)
    record = state.models["m"] = ModelRecord()
    for usable in (True, False, False):
        record.count(usable)
    assert not record.fails
    record.count(False)
    assert record.fails
    record.brief = True
    assert prompt_size(state, "m") == prompt_size(state, "m", 39.0) == PromptSize(8000, 1200, brief=True)
    # What an endpoint has refused leaves less room than the settings, and little room makes prompts short.
    del state.models["m"]
    assert prompt_size(state, "m", None, 5000) == PromptSize(5000)
    assert prompt_size(state, "m", None, 2048) == PromptSize(2048, 1200, brief=True)
    assert [room_after(*told, settings.models["m"]) for told in ((0, 4000), (8192, 9000), (8192, 40_000))] == [
        3000, 6750, 7192,
    ]  # fmt: skip
    assert [room_after(*told, settings.models["m"]) for told in ((0, 1200), (0, 900), (8192, 900), (512, 900))] == [
        1000, 1000, 1000, 128,
    ]  # fmt: skip
    for address, aims in (("http://127.0.0.1:1/v1", (1560, 1500, None)), ("https://example.org/v1", (None,) * 3)):
        state.settings = Settings(models={"m": ModelSpec("m", base_url=address, brief_prompts=False)})
        sizes = [prompt_size(state, "m", reading) for reading in (39.0, 5.0, 2000.0)]
        assert sizes == [PromptSize(28672, aim) for aim in aims]
