"""Reading a prior from Markdown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognition.prior import PriorError, head_problem, parse_prior

FULL = """---
title: "A title: with a colon"
tags: [one, two]
source: Somebody, "A paper" (2001)
weight: 0.5
enabled: false
# a remark
---

# A heading

Text.

```python
not_a_recipe = 1
```

```python recipe
# no heading
def first(x):
    return x
```

~~~~ python recipe
def second(x):
    '''```'''
    return x
~~~~
"""


def test_front_matter_and_recipes_are_parsed() -> None:
    prior = parse_prior("full", FULL)
    assert prior.title == "A title: with a colon"
    assert prior.tags == ("one", "two")
    assert prior.source == 'Somebody, "A paper" (2001)'
    assert prior.weight == 0.5
    assert not prior.enabled
    assert prior.body.startswith("\n# A heading")
    assert [recipe.code.splitlines()[-1] for recipe in prior.recipes] == ["    return x", "    return x"]
    lines = FULL.splitlines()
    for recipe in prior.recipes:
        assert lines[recipe.line - 1] == recipe.code.splitlines()[0]


def test_title_defaults_to_first_heading_then_id() -> None:
    assert parse_prior("a", "---\ntitle: T\n---\n# H\n").title == "T"
    assert parse_prior("a", "Text\n\n## H ##\n").title == "H"
    assert parse_prior("a", "```python recipe\n# comment\n```\n").title == "a"
    assert parse_prior("a", "").title == "a"


def test_windows_line_ends_and_byte_order_mark_are_ignored() -> None:
    prior = parse_prior("full", "\ufeff" + FULL.replace("\n", "\r\n"))
    assert prior == parse_prior("full", FULL)
    assert prior.revision == parse_prior("other", FULL).revision


@pytest.mark.parametrize(
    ("front", "why"),
    [
        ("colour: red", "line 2"),
        ("just words", "line 2"),
        ("weight: heavy", "not a number"),
        ("weight: -1", "0 or more"),
        ("weight: nan", "finite"),
        ("weight: inf", "finite"),
        ("weight: 1e308", "at most 1e\\+06"),
        ("weight: 1000000.1", "at most"),
        ("enabled: maybe", "neither"),
    ],
)
def test_wrong_front_matter_is_an_error(front: str, why: str) -> None:
    with pytest.raises(PriorError, match=why):
        parse_prior("a", f"---\n{front}\n---\n")


def test_largest_weight_is_accepted() -> None:
    assert parse_prior("a", "---\nweight: 1e6\n---\n").weight == 1e6


@given(st.text())
def test_any_text_parses_or_raises_prior_error(text: str) -> None:
    try:
        prior = parse_prior("a", text)
    except PriorError:
        return
    assert prior.title
    assert all(recipe.line > 1 for recipe in prior.recipes)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("---\ntags: a\n# Never closed\n", 2),
        ("tags: a\n---\n# Never begun\n", 1),
        ("\n---\ntags: a\n---\n# One line too low\n", 3),
        ("--\nweight: 2\n--\n# Dashes left out\n", 2),
        ("oops ---\ntitle: T\n---\n# H\n", 2),
        ("source: a book\n\n# H\n", 1),
        ("---\nweight: 2\n---\n---\ntags: a\n# Never closed\n", 5),
        ("---\nweight: 2\n---\n# H\n\n---\nsource: words\n", 0),
        (FULL, 0),
        ("# A heading\n\ntags: are words here\n", 0),
        ("---\n\n# After a rule\n", 0),
        ("", 0),
    ],
)
def test_a_head_that_is_read_as_text_is_told(text: str, line: int) -> None:
    problem = head_problem(text)
    assert problem.startswith(f"line {line} is read as text: ") if line else not problem
    assert not line or not parse_prior("a", text).tags


@given(st.text())
def test_no_text_breaks_the_look_at_its_head(text: str) -> None:
    assert isinstance(head_problem(text), str)
