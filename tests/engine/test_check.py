"""What `evolve check` reports about the parts that recombination can change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Evolve, TaskMaker

SEED = '''\
"""A point in the plane."""

X = 0.5
Y = 0.25
COUNT = 3  # tune: effort 1..9
SHIFTS = [0.5, 1.5, -2]
SCALE = {"x": 2.0, "y": (1.0, 3)}
EXACT = True  # tune: flip


def left(k=2, *, exact=False):
    return X * k * 1.5


def right():
    return Y + sum(SHIFTS) + SCALE["x"]


def point():
    return [left(exact=EXACT), right()]


def unused():
    return 4.5 * COUNT
'''
RECIPE = """\
# Another right

```python recipe
LIFT = 0.5{}


def right():
    return LIFT
```
"""


def test_check_counts_constants_numbers_recipes_and_functions(make_task: TaskMaker, evolve: Evolve) -> None:
    task = make_task(
        seed=SEED, priors={"lift.md": RECIPE.format("  # tune: scale 0..2"), "prose.md": "# Think\n\nWell.\n"}
    )
    checked = evolve("check", task)
    assert checked.code == 0
    assert (
        "ok    seed.py to recombine: 3 constants, 8 numbers in lists, 1 number in functions, 1 recipe, 4 functions\n"
        in checked.out
    )


def test_check_of_program_without_tunable_parts_says_what_recombination_would_do(
    make_task: TaskMaker, evolve: Evolve
) -> None:
    checked = evolve(
        "check", make_task(seed="def point():\n    return [1, 2]\n\n# No more.\n".replace("[1, 2]", "range(2)"))
    )
    assert checked.code == 0, "a model may write programs of it"
    told = "0 constants, 0 numbers in lists, 0 recipes, 1 function: without a model a run finds nothing to change"
    assert told in checked.out


def test_invalid_tuning_comment_is_error_with_line(make_task: TaskMaker, evolve: Evolve) -> None:
    seed = SEED.replace("effort 1..9", "efort 1..9").replace("-2]", "-2]  # tune: scale 9..1")
    task = make_task(seed=seed, priors={"lift.md": RECIPE.format("  # tune: flip")})
    checked = evolve("check", task, "--json")
    assert checked.code == 2
    found = {finding["where"]: finding["what"] for finding in json.loads(checked.out)["findings"] if not finding["ok"]}
    assert set(found) == {"seed.py:5", "seed.py:6", "priors/lift.md:4"}
    assert found["seed.py:5"] == (
        "'# tune:' is not understood: there is no kind 'efort'; "
        "the kinds are effort, scale, tolerance, flip, choice, fixed"
    )
    assert "9 is not below the upper bound 1" in found["seed.py:6"]
    assert "there is no True or False here" in found["priors/lift.md:4"]


def test_null_test_says_what_would_hold_noise_back(make_task: TaskMaker, evolve: Evolve) -> None:
    evaluate = "def evaluate(path, report):\n    return {'score': float(report.seed % 3)}\n"
    task = make_task(evaluate=evaluate, seed=SEED)
    (task / "task.toml").write_text("min_gain = 0.1\n" + (task / "task.toml").read_text())
    steady = evolve("check", task, "--null", "--json").json["findings"][-1]
    assert (steady["ok"], steady["where"]) == (True, "null test of seed.py")
    assert "the same in 5 measurements" in steady["what"]
    (task / "task.toml").write_text("noisy = true\nrun.confidence = 0.5\n" + (task / "task.toml").read_text())
    noisy = evolve("check", task, "--null", "--json")
    found = noisy.json["findings"][-1]
    assert (noisy.code, found["ok"]) == (2, False)
    assert "score 0, 1, 2, 0, 1: the same program has a standard deviation of 0.837" in found["what"]
    assert "min_gain = " in found["what"]


@pytest.mark.needs("gcc")
def test_the_example_in_c_as_a_folder_passes(tmp_path: Path, evolve: Evolve) -> None:
    made = evolve("new", tmp_path / "mine", "--language", "c", "--folder")
    assert made.code == 0 and "adapt brief.md, evaluate.py, priors, run.py, seed, task.toml" in made.out
    checked = evolve("check", tmp_path / "mine")
    assert checked.code == 0, checked.out
    assert "ok    seed/ to recombine: 1 constant, 0 numbers in lists, 1 recipe, 2 functions\n" in checked.out


def test_a_program_that_the_example_needs_and_that_is_not_there_is_one_sentence(
    tmp_path: Path, evolve: Evolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = evolve("new", tmp_path / "mine", "--language", "julia")
    assert made.code == 0
    assert "julia is not on this machine: install it, since the programs of this task need it\n" in made.err
