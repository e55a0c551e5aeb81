"""Definitions that an answer left out, taken from the recipes and nodes that its prompt showed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from cognition.prior import parse_prior
from engine.designers.base import Design, DesignerError
from engine.designers.llm import LlmDesigner
from engine.llm.left_out import with_left_out
from engine.llm.prompts import Prompts
from engine.programs.blocks import keep_outside
from engine.programs.languages.registry import PYTHON
from engine.programs.outline import unbound_names
from engine.task.spec import Interface
from tests.engine.designers.programs import SEED, SPEC
from tests.engine.llm.test_designer import BRIEF, Script, ask_for, designer

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


async def design(
    text: str, prior: str = PRICES, beside: str = SEED, parent: str = SEED, maker: LlmDesigner | None = None
) -> Design:
    asked = ask_for(Script(text), "diff")
    asked = replace(
        asked,
        priors=[parse_prior("prices", prior)],
        inspirations=[replace(asked.inspirations[0], code=beside)],
        parent=replace(asked.parent, code=parent),
    )
    return await (maker or designer()).design(asked)


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
        "def ready():\n    return third()\nJITTER = ready()",  # called at once, it needs what comes later
        "JITTER = 1\nJITTER += 1",
        "JITTER = [0] * 3\nfor k in range(3):\n    JITTER[k] = k",
        "JITTER = 1; import os",
        "JITTER = (other := 1)",
        "from .near import JITTER",
        "JITTER = k",  # what the program binds in a function alone
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


async def test_imports_further_down_are_not_there_yet() -> None:
    late = SEED + "\n\nimport statistics\n"
    prior = "# Late\n\n```python recipe\nMEAN = statistics.mean([1, 2])\n```\n"
    text = "```python\ndef third():\n    return MEAN\n```"
    with pytest.raises(DesignerError, match="MEAN, which nothing in it defines"):
        await design(text, prior, parent=late)
    early = late.replace("import math\n", "import math\nimport statistics\n")
    assert "MEAN = statistics.mean" in (await design(text, prior, parent=early)).code


async def test_import_brings_its_own_name_alone_and_future_never_comes() -> None:
    prior = "# Gaps\n\n```python recipe\nfrom __future__ import annotations\nfrom cmath import log, sqrt\n```\n"
    parent = SEED.replace("import math\n", "import math\nfrom math import sqrt\n")
    made = await design("```python\ndef third():\n    return log(sqrt(4.0)).real\n```", prior, parent=parent)
    assert "from cmath import log\n" in made.code and "cmath import log, sqrt" not in made.code
    with pytest.raises(DesignerError, match="annotations, which nothing in it defines"):
        await design("```python\ndef third():\n    return annotations\n```", prior)


async def test_modules_of_a_package_come_together_and_constants_behind_what_they_call() -> None:
    prior = (
        "# Chain\n\n```python recipe\nimport xml.dom\nimport xml.sax\n"
        "A_FIRST = make()\nZ_LAST = 3\ndef make():\n    return Z_LAST + len(xml.sax.__name__)\n```\n"
    )
    made = await design("```python\ndef third():\n    return A_FIRST\n```", prior)
    assert made.code.index("import xml.sax\n") < made.code.index("A_FIRST = ") > made.code.index("Z_LAST = ")
    values: dict[str, object] = {}
    exec(made.code, values)
    assert values["A_FIRST"] == 10 and values["xml"]


def test_ends_of_lines_stay_and_definitions_stand_between_statements() -> None:
    asked = replace(ask_for(Script(), "diff"), priors=[parse_prior("prices", PRICES)])
    for end in ("\r\n", "\r"):
        code = SEED.replace("return 1\n", "return price(1)\n").replace("\n", end)
        whole, said = with_left_out(code, asked, PYTHON)
        assert said and not unbound_names(whole)
        assert "".join(whole.split(whole[whole.index("import numpy") : whole.index("SIZE = ")])).count(end) >= 20
        exec(compile(whole.replace("import numpy as np", ""), "program", "exec"), {"np": None})
    shared = '"""Sum."""\nimport math; X = [\n    1]\n\n\ndef total():\n    return price(1)\n'
    whole, said = with_left_out(shared, asked, PYTHON)
    assert (whole, said) == (shared, "")


async def test_definitions_go_into_the_block_that_may_change() -> None:
    parent = SEED.replace("def third", "# EVOLVE-BLOCK-START\nimport itertools\n\n\ndef third").replace(
        "def total", "# EVOLVE-BLOCK-END\n\n\ndef total"
    )
    maker = LlmDesigner(
        msgspec.structs.replace(SPEC, interface=Interface(functions=["total"], blocks=True)), BRIEF, Prompts()
    )
    made = await design(ANSWER, parent=parent, maker=maker)
    assert keep_outside(parent, made.code) == made.code
    assert not unbound_names(made.code)
    assert made.code.index("import itertools") < made.code.index("PRICE = ") < made.code.index("def third")
    outside = parent.replace("return 1\n", "return price(2.5)\n").replace("SIZE = 4", "SIZE = 4\nprice = float")
    made = await design(f"```python\n{outside}```", parent=parent, maker=maker)
    assert "price = float" not in made.code and "def price" in made.code


async def test_large_programs_and_deep_ones_neither_hold_up_nor_crash_the_search() -> None:
    names = [f"NAME_{number}" for number in range(4000)]
    beside = SEED + "".join(f"{name} = 1\n" for name in names)
    with pytest.raises(DesignerError, match="which nothing in it defines"):
        await design(f"```python\ndef third():\n    return [{', '.join(names)}]\n```", beside=beside)
    deep = f"# Deep\n\n```python recipe\nJITTER = {'-' * 5000}1\n```\n"
    with pytest.raises(DesignerError, match="JITTER, which nothing in it defines"):
        await design("```python\ndef third():\n    return JITTER\n```", deep)
