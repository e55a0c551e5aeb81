"""Checks before an experiment, lessons after it, and text made harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.analyzers.rules import analyze_by_rules
from engine.evaluation.curve import Curve, decode_curve
from engine.llm.requests import Facts
from engine.programs.outline import ProgramError, changed_parts, outline, unbound_names
from engine.state.node import Node
from engine.state.ranking import Ranking
from engine.task.interface import check_program
from engine.task.spec import Interface, TaskSpec
from engine.text import one_line, visible

SPEC = TaskSpec(name="t", direction="maximize", interface=Interface(functions=["f"]), max_program_bytes=200)


def test_layout_comments_and_docstrings_do_not_change_digest() -> None:
    a = 'def f(x):\n    """Doc."""\n    return x+1  # one\n'
    b = "# head\ndef f( x ):\n\n    return (x + 1)\n"
    assert outline(a).digest == outline(b).digest
    assert outline(a).digest != outline("def f(x):\n    return x + 2\n").digest
    assert outline("A = 1\nB = 2\n").digest != outline("B = 2\nA = 1\n").digest


@pytest.mark.parametrize(
    ("code", "check"),
    [
        ("def f(:\n", "syntax"),
        ("def f(): return '\0'\n", "syntax"),
        ("def f(): return '\ud800'\n", "syntax"),
        ("def f():\n    return 0\n" + "#" * 300, "size"),
        ("def g(): pass\n", "interface"),
        ("f = 3\n", "interface"),
    ],
)
def test_bad_program_is_refused_with_reason(code: str, check: str) -> None:
    with pytest.raises(ProgramError) as caught:
        check_program(code, SPEC)
    assert caught.value.check == check
    assert caught.value.reason


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("import os\n", "it imports os; allowed are math, numpy"),
        ("from numpyx import a\n", "imports numpyx"),
        ("def g():\n    from os import path\n", "imports os"),
        ("from . import x\n", "imports ."),
        ("y = eval('1')\n", "it uses eval"),
        ("import math\ny = math.__loader__\n", "it uses __loader__"),
        ("from math import __loader__ as y\n", "it uses __loader__"),
        ("import math\nmatch math:\n    case object(__loader__=y):\n        pass\n", "it uses __loader__"),
        ("import numpy.linalg as n\nfrom math import pi\n", ""),
    ],
)
def test_forbidden_names_and_imports_are_refused(body: str, told: str) -> None:
    rules = Interface(imports=["math", "numpy"], forbidden=["eval", "__loader__"])
    spec = TaskSpec(name="t", direction="maximize", interface=rules)
    if not told:
        check_program(body, spec)
        return
    with pytest.raises(ProgramError, match="static") as caught:
        check_program(body, spec)
    assert told in caught.value.reason


def test_deep_nesting_is_refused_without_crash() -> None:
    spec = TaskSpec(name="t", direction="maximize")
    with pytest.raises(ProgramError):
        check_program("x = " + "-" * 50_000 + "1\n", spec)


def test_two_statements_on_one_line_are_distinguished() -> None:
    assert outline("A = 1; B = 2\n").digest == outline("A = 1\nB = 2\n").digest
    assert set(outline("A = 1; B = 2\n").parts) == {"A", "B"}
    assert outline("@a\ndef f(): pass\n").digest != outline("@b\ndef f(): pass\n").digest
    assert outline("x = 1\ny = 2\n").digest == outline("x = 1\r\ny = 2\r\n").digest


def test_changed_parts_are_named() -> None:
    before = "import math\nA = 1\n\ndef f(): return A\n\ndef g(): return 2\n"
    after = "import math\nA = 3\n\ndef f(): return A\n\ndef h(): return 2\n"
    assert changed_parts(before, after) == ["A", "h", "g"]


def node(id: int, score: float | None, status: str = "ok", reason: str = "", name: str = "tune X") -> Node:
    made = Node(id, 1, (0,) if id else (), "0" * 64, "tune", name, "because", (), 0)
    made.status, made.score, made.reason = status, score, reason  # type: ignore[assignment]
    made.metrics = {"sum": score} if score is not None else {}
    return made


@pytest.mark.parametrize(
    ("direction", "score", "told"),
    [
        ("maximize", 2.0, "gained 1 over"),
        ("minimize", 2.0, "lost 1 against"),
        ("maximize", 1.0, "no difference to #0"),
        ("maximize", 1.0 - 2**-53, "no difference to #0"),
    ],
)
def test_lesson_describes_effect_of_change(direction: str, score: float, told: str) -> None:
    spec = TaskSpec(name="t", direction=direction)  # type: ignore[arg-type]
    child, parent = node(1, score), node(0, 1.0)
    report = analyze_by_rules(Facts(spec, child, "X = 2\n", parent, "X = 1\n", parent))
    assert told in report.lesson
    assert ("[changed X]" in report.lesson) == (score == 2.0)
    assert "| sum | 1 |" in report.note


@pytest.mark.parametrize(
    ("fitness", "told"),
    [
        (0.75, "gained 0.25 of fitness over #0, fitness 0.75, loss 2"),
        (0.25, "lost 0.25 of fitness against #0, fitness 0.25, loss 2"),
        (0.505, "no difference of fitness to #0, fitness 0.505, loss 2"),
        (None, "not ranked, loss 2"),
    ],
)
def test_lesson_compares_fitness_if_fitness_ranks(fitness: float | None, told: str) -> None:
    # A lower loss is better and the child's is higher, but fitness decides.
    spec = TaskSpec(name="t", direction="minimize", metric="loss")
    child, parent, best = node(1, 2.0), node(0, 1.0), node(2, 3.0)
    child.fitness, parent.fitness, best.fitness = fitness, 0.5, 0.8
    ranking = Ranking("loss", "minimize", by_fitness=True)
    report = analyze_by_rules(Facts(spec, child, "X = 2\n", parent, "X = 1\n", best, ranking=ranking, noise=0.01))
    assert report.lesson.startswith(f"{told}: tune X")
    assert "(fitness 0.5, score 1) by tune" in report.note
    assert "Best so far is #2 with fitness 0.8, score 3." in report.note


def test_lesson_of_program_without_parent() -> None:
    def told(name: str, round_: int) -> str:
        made = node(0, 1.0, name=name)
        made.round = round_
        return analyze_by_rules(Facts(SPEC, made, "X = 1\n", best=made)).lesson

    assert told("seed", 0) == "score 1, the starting point: seed"
    assert told("ring", 0) == "score 1, the starting point: seed ring"
    assert told("mine", 3) == "score 1: mine"


def test_issues_of_new_best_are_proposed_once() -> None:
    parent, child = node(0, 1.0), node(1, 2.0)
    parent.metrics |= {"issue": "menus stay: 40 % of them"}
    child.metrics |= {
        "issue": "menus stay: 30 % of them",
        "issue_lost": "tables are lost: 5 %: all in code",
        "issue_b": 3,
    }
    child.metrics |= {"issue_c": "no figures", "failures": "not: asked"}
    (found,) = analyze_by_rules(Facts(SPEC, child, "X = 2\n", parent, "X = 1\n", child)).proposals
    assert (found.title, found.evidence) == ("tables are lost", [1])
    assert found.body == "Measured for #1, the best so far: 5 %: all in code"
    told = Facts(SPEC, child, "X = 2\n", parent, "X = 1\n", child, proposed=frozenset({"tables are lost"}))
    assert analyze_by_rules(told).proposals == []
    assert analyze_by_rules(Facts(SPEC, child, "X = 2\n", parent, "X = 1\n", parent)).proposals == []
    assert [p.title for p in analyze_by_rules(Facts(SPEC, parent, "X = 1\n", best=parent)).proposals] == ["menus stay"]


def test_failure_is_blamed_on_function_of_program() -> None:
    stderr = (
        'Traceback (most recent call last):\n  File "/x/program.py", line 9, in construct\n'
        '  File "/x/program.py", line 4, in refine\n  File "/lib/scipy/optimize.py", line 88, in minimize\n'
        "ValueError: nan\n"
    )
    code = "def refine(c):\n    return c\n\n\ndef construct():\n    return refine(1)\n"
    child = node(1, None, "crashed", "ValueError: nan")
    before = "def refine(c):\n    return 1\n"
    report = analyze_by_rules(Facts(SPEC, child, code, node(0, 1.0), before, stderr=stderr))
    assert "crashed in refine(): ValueError: nan" in report.lesson
    assert "\n" not in report.lesson
    assert "    ValueError: nan" in report.note


@given(st.text())
def test_visible_text_cannot_steer_terminal(text: str) -> None:
    shown = visible(text)
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in shown)
    assert not any(0x7F <= ord(c) <= 0x9F or 0xD800 <= ord(c) <= 0xDFFF for c in shown)
    assert not set("\u202e\u2066\u200b\ufeff") & set(shown)
    assert len(one_line(text, 40)) <= 40
    assert "\n" not in one_line(text, 40)


def test_hostile_megabyte_is_cut_first() -> None:
    assert one_line("\x1b[31m" + "x" * 1_000_000, 20) == "␛[31mxxxxxxxxxxxxxx…"


@given(st.lists(st.floats(-1, 1), max_size=3000))
def test_curve_stays_bounded_and_keeps_last_point(values: list[float]) -> None:
    curve = Curve()
    for step, value in enumerate(values):
        curve.add(step, {"loss": value})
    points = decode_curve(curve.encode())
    assert len(points) <= 513
    if values:
        assert points[-1] == (len(values) - 1, {"loss": values[-1]})
        assert points[0] == (0, {"loss": values[0]})
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps))
    else:
        assert points == []


@pytest.mark.parametrize(
    ("code", "unbound"),
    [
        ("import os.path as p, sys\n\ndef f(a, *b, c=1, **d):\n    return a, b, c, d, p, sys, len, __name__\n", []),
        ("x = [i for i in range(3) if (y := i)]\nprint(x, y)\n", []),
        ("try:\n    pass\nexcept ValueError as e:\n    print(e)\nwith open('x') as (f, g):\n    print(f, g)\n", []),
        ("match 1:\n    case {'a': b, **c} | [b, *c]:\n        print(b, c)\n    case d:\n        print(d)\n", []),
        ("def f():\n    global G\n    G = 1\n\ndef g():\n    return G\n", []),
        ("from math import *\nprint(pi)\n", []),
        ("class A:\n    B = 1\n    def f(self):\n        return __class__, lambda q: q\n", []),
        ("def f(c):\n    return np.clip(c, LOW, HIGH)\n", ["HIGH", "LOW", "np"]),
    ],
)
def test_unbound_names_are_found(code: str, unbound: list[str]) -> None:
    assert unbound_names(code) == unbound
