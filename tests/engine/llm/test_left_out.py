"""Definitions that an answer left out, taken from the recipes and nodes that its prompt showed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cognition.prior import parse_prior
from engine.designers.base import Design, DesignerError
from engine.programs.outline import unbound_names
from tests.engine.designers.programs import SEED
from tests.engine.llm.test_designer import Script, ask_for, designer

PRICES = """\
# Prices by size

A table of prices.

```python recipe
import numpy as np

PRICE = [0.0, 0.5]  # tune: scale 0..3
PLACES = [float(at) for at in range(FIRST, FIRST + 2)]
FIRST = 7


def price(rest):
    return np.interp(rest, PLACES, PRICE)


def third():
    return price(1.5)
```
"""
ANSWER = "```python\ndef third():\n    return price(2.5)\n```\n\nI took a larger room."


async def design(text: str, prior: str = PRICES, beside: str = SEED, parent: str = SEED) -> Design:
    asked = ask_for(Script(text), "diff")
    asked = replace(
        asked,
        priors=[parse_prior("prices", prior)],
        inspirations=[replace(asked.inspirations[0], code=beside)],
        parent=replace(asked.parent, code=parent),
    )
    return await designer().design(asked)


async def test_constants_helpers_and_imports_of_a_recipe_come_with_a_function_that_uses_them() -> None:
    made = await design(ANSWER)
    values: dict[str, object] = {"__name__": "candidate"}
    exec(made.code, values)
    assert values["third"]() == pytest.approx(0.0)  # type: ignore[operator]
    assert values["PLACES"] == [7.0, 8.0]
    assert "PRICE = [0.0, 0.5]  # tune: scale 0..3" in made.code
    assert made.motivation == (
        "I took a larger room. "
        "The answer left out FIRST, PLACES, PRICE, np, price: taken from the prior 'Prices by size'."
    )


async def test_what_the_answer_defines_itself_is_not_taken() -> None:
    made = await design("```python\nPRICE = [1.0, 2.0]\n\n\ndef third():\n    return price(8)\n```")
    assert made.code.count("PRICE = ") == 1
    assert "PRICE = [1.0, 2.0]" in made.code
    assert not unbound_names(made.code)


async def test_constants_stand_behind_those_that_they_need() -> None:
    prior = "# Steps\n\n```python recipe\nA = 1\nB = Z + A\nZ = 2\n```\n"
    made = await design("```python\ndef third():\n    return A + B + Z\n```", prior)
    assert made.code.index("\nA = 1\n") < made.code.index("\nB = Z + A\n") > made.code.index("\nZ = 2\n")


async def test_other_node_gives_what_no_recipe_has() -> None:
    beside = SEED + "\n\nJITTER: float = 0.25\n"
    made = await design("```python\ndef third():\n    return JITTER\n```", beside=beside)
    assert "JITTER: float = 0.25" in made.code
    assert made.motivation.endswith("The answer left out JITTER: taken from #5.")


@pytest.mark.parametrize(
    "recipe",
    [
        "JITTER = third() + 1",  # what the program defines further down
        "JITTER, OTHER = 1, 2",
        "for JITTER in range(3):\n    pass",
        "def ready():\n    global JITTER\n    JITTER = 1",
        "JITTER = (",
        "JITTER = MISSING + 1",
        "JITTER = [OTHER]\nOTHER = [JITTER]",
    ],
)
async def test_names_that_cannot_be_taken_are_refused_as_before(recipe: str) -> None:
    prior = f"# Jitter\n\n```python recipe\n{recipe}\n```\n"
    with pytest.raises(DesignerError, match="which nothing in it defines") as caught:
        await design("```python\ndef third():\n    return JITTER\n```", prior)
    assert caught.value.check == "static"


async def test_program_that_lacks_nothing_stays_as_it_is() -> None:
    text = "```python\ndef third():\n    return 3\n```"
    assert (await design(text)).code == SEED.replace("return 1\n", "return 3\n")
    parent = SEED + "\n\ndef unused():\n    return price(3)\n"
    assert (await design(text, parent=parent)).code == parent.replace("return 1\n", "return 3\n")
