"""Answers of models: a corpus of awkward ones, and properties of all."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.llm.answers import AnswerError, parse_diff, parse_judgement, parse_program, parse_report
from engine.llm.hunks import has_hunks
from engine.llm.json_parts import is_placeholder
from engine.programs.outline import ProgramError, outline
from engine.task.spec import Interface
from engine.text import visible

CORPUS = Path(__file__).parent / "corpus"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "expected.toml").read_text())
PARENT = (CORPUS / "parent.txt").read_text()
SOLVE = Interface(functions=["solve"])


def read(kind: str, text: str, truncated: bool) -> Any:
    match kind:
        case "program":
            return parse_program(text, SOLVE, truncated=truncated)
        case "diff":
            return parse_diff(text, PARENT, truncated=truncated)
        case "report":
            return parse_report(text, truncated=truncated)
        case _:
            return parse_judgement(text, ["clarity", "novelty"])


def test_every_answer_of_corpus_has_expectation() -> None:
    assert {path.stem for path in CORPUS.glob("*.txt")} - {"parent"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_awkward_answer_is_read_as_expected(name: str) -> None:
    want = EXPECTED[name]
    kind = name.partition("-")[0]
    text = (CORPUS / f"{name}.txt").read_bytes().decode()
    if "error" in want:
        with pytest.raises(AnswerError) as caught:
            read(kind, text, want.get("truncated", False))
        assert want["error"] in str(caught.value)
        return
    found = read(kind, text, want.get("truncated", False))
    if kind in ("program", "diff"):
        lines = found.code.split("\n")
        assert not [line for line in want.get("has", []) if line not in lines]
        assert not [line for line in want.get("lacks", []) if line in lines]
        assert found.name == want.get("name", found.name)
        assert found.motivation.startswith(want.get("motivation", ""))
        if name not in ("program-syntax-error",):
            outline(found.code)
    elif kind == "report":
        assert found.lesson == want["lesson"]
        assert list(found.causes) == want.get("causes", [])
        assert found.next_step == want.get("next_step", "")
        assert found.note == want.get("note", found.note)
        assert [idea.title for idea in found.priors] == want.get("priors", [])
    else:
        assert {key: judged.score for key, judged in found.items()} == want["scores"]


# Whatever a program holds, each form gives it back

MARKERS = ["<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "```", "```python", "~~~"]
TAGS = ["</program>", "<program>", "</think>", "<name>x</name>", "&lt;", "{}"]
WORDS = st.sampled_from([*MARKERS, *TAGS, '"', "\\", "a", " ", "\t", "é", "\u2028"])
LITERALS = st.lists(WORDS, max_size=6).map(" ".join)
STATEMENTS = st.one_of(
    st.builds("X{} = {!r}".format, st.integers(0, 9), LITERALS),
    st.builds("# {}".format, LITERALS.filter(lambda text: "\u2028" not in text)),
    st.builds(
        'Y{} = r"""\n{}\n"""'.format,
        st.integers(0, 9),
        st.lists(WORDS.filter(lambda w: w not in '"\\'), max_size=4).map("\n".join),
    ),
    st.builds("def f{}(x):\n    return x + {}\n".format, st.integers(0, 9), st.integers()),
    st.just(""),
)
PROGRAMS = st.lists(STATEMENTS, max_size=8).map("\n".join).map("def solve():\n    return 1\n{}\n".format)


def is_python(code: str) -> bool:
    try:
        outline(code)
    except ProgramError:
        return False
    return True


def same(code: str, other: str) -> bool:
    return code.strip() == other.strip()


@given(PROGRAMS)
@example("def solve():\n    return 1\nX = '</program>'\n")
def test_program_in_tags_is_read_back(code: str) -> None:
    assume(is_python(code))
    answer = f"<name>a name</name>\n<motivation>why</motivation>\n<program>\n{code}</program>\n"
    found = parse_program(answer, SOLVE)
    assert same(found.code, code)
    assert found.name == "a name"
    assert found.motivation == "why"


@given(PROGRAMS)
def test_program_in_fence_is_read_back(code: str) -> None:
    assume(is_python(code) and "<program>" not in code)
    fence = "`" * (max((len(run) for run in re.findall("`+", code)), default=2) + 1)
    found = parse_program(f"Here it is:\n\n{fence}python\n{code}{fence}\n\nIt is better.\n", SOLVE)
    assert same(found.code, code)


@given(PROGRAMS)
def test_program_without_fences_in_short_fence_is_read_back(code: str) -> None:
    assume(is_python(code) and "```" not in code and "~~~" not in code and "<program>" not in code)
    assert same(parse_program(f"```\n{code}```", SOLVE).code, code)


MARKS = re.compile(r"^\s*(<{5,9}|={5,9}|>{5,9})", re.MULTILINE)


def hunks_of(before: str, after: str) -> str:
    """Write SEARCH/REPLACE blocks as a careful model does: with enough lines around each change to be unique."""
    a, b = before.split("\n"), after.split("\n")
    changes = [op for op in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes() if op[0] != "equal"]
    width = 0
    while True:
        groups: list[list[int]] = []
        for _, i1, i2, j1, j2 in changes:
            # As many lines before and behind belong to both programs, as far as they go.
            left, right = min(width, i1, j1), min(width, len(a) - i2, len(b) - j2)
            new = [i1 - left, i2 + right, j1 - left, j2 + right]
            if groups and new[0] <= groups[-1][1]:
                groups[-1][1], groups[-1][3] = new[1], new[3]
            else:
                groups.append(new)
        if all(once(a[i1:i2], a) and a[i1:i2] != b[j1:j2] for i1, i2, j1, j2 in groups) or width > len(a):
            blocks = [
                "\n".join(["<<<<<<< SEARCH", *a[i1:i2], "=======", *b[j1:j2], ">>>>>>> REPLACE"])
                for i1, i2, j1, j2 in groups
            ]
            return "<name>an edit</name>\n" + "\n".join(blocks)
        width += 1


def once(search: list[str], lines: list[str]) -> bool:
    found = [at for at in range(len(lines)) if lines[at : at + len(search)] == search]
    return any(line.strip() for line in search) and len(found) == 1


LINES = st.sampled_from(["a = 1", "    b = 2", "b = 2", "", "def f():", "    return a", "# c", "\tc = 3", "a =  1"])
TEXTS = st.lists(LINES, min_size=1, max_size=12).map("\n".join)


@given(TEXTS, TEXTS)
def test_diff_of_two_programs_turns_one_into_other(before: str, after: str) -> None:
    assume(before != after and before.strip())
    assert parse_diff(hunks_of(before, after), before).code == after


@given(PROGRAMS, PROGRAMS)
@example('def solve():\n    return 1\nY0 = r"""\n</think>\n<<<<<<< SEARCH\n"""\n', "def solve():\n    return 1\n\n")
def test_diff_of_hostile_programs_applies_or_raises(before: str, after: str) -> None:
    # A fence around a part is taken for the model's, and lines of a program that look so cannot be told from it.
    assume(before != after and "```" not in before + after and "~~~" not in before + after)
    try:
        assert parse_diff(hunks_of(before, after), before).code == after
    except AnswerError:
        # Only lines that look like the markers may keep a block from being read.
        assert MARKS.search(before) or MARKS.search(after)


def test_lone_surrogates_do_not_reach_journal() -> None:
    half = json.dumps("\ud800")[1:-1]
    report = parse_report(
        f'{{"lesson": "{half}", "note": "{half}", "priors": [{{"title": "{half}", "body": "{half}"}}]}}'
    )
    assert msgspec.json.encode([report.lesson, report.note, report.priors[0].body])
    with pytest.raises(AnswerError) as caught:
        parse_diff("<<<<<<< SEARCH\nRATE = \ud800\n=======\n>>>>>>> REPLACE\n", PARENT)
    assert str(caught.value).encode()


HOSTILE = st.lists(
    st.one_of(
        WORDS, st.text(max_size=20), st.sampled_from(["\n", "<think>", "<code>", "def solve(): pass", "{", "[" * 50])
    ),
    max_size=30,
).map("".join)


@given(HOSTILE, st.booleans())
@example("<program>" * 60 + "</program>" * 60, False)
@example("```\n" * 200, True)
@example('{"program": ' * 200, False)
@example("{" * 5000, False)
@example("<<<<<<< SEARCH\n=======\n>>>>>>> REPLACE\n" * 300, False)
@example("(" * 100_000, False)
def test_answers_raise_only_answer_error(text: str, truncated: bool) -> None:
    has_hunks(text)
    for read_it in (
        lambda: parse_program(text, SOLVE, truncated=truncated),
        lambda: parse_program(text),
        lambda: parse_diff(text, PARENT),
        lambda: parse_diff(text, ""),
        lambda: parse_report(text),
        lambda: parse_judgement(text, ["clarity"]),
    ):
        try:
            read_it()
        except AnswerError as exc:
            assert str(exc).encode(), "it goes into the journal"


@given(st.text(), st.floats(0, 1), st.text(min_size=1))
def test_report_and_judgement_in_json_are_read_back(text: str, score: float, lesson: str) -> None:
    # Brackets and dots alone are the form that a model was shown, not what it says.
    assume(" ".join(lesson.split()) and not is_placeholder(lesson) and not (text and is_placeholder(text)))
    report = parse_report(f"prose\n```json\n{json.dumps({'lesson': lesson, 'note': text, 'causes': [text]})}\n```")
    assert report.lesson
    assert report.note == visible(text).strip()
    judged = parse_judgement(json.dumps({"clarity": {"score": score, "reason": text}}), ["clarity"])
    assert judged["clarity"].score == score
