"""What `evolve check` reports about the parts that recombination can change."""

from __future__ import annotations

import json

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
