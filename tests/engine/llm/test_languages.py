"""Prompts and answers about programs in other languages than Python."""

from __future__ import annotations

from functools import partial

import pytest

from engine.llm.answers import parse_program
from engine.llm.blocks import AnswerError
from engine.llm.messages import PromptSize
from engine.llm.parts import is_part, put_parts
from engine.llm.prompts.build import researcher_prompt
from engine.llm.prompts.check import _full_request
from engine.llm.prompts.templates import Prompts
from engine.programs.folders import join_files
from engine.programs.languages.registry import LANGUAGES
from engine.task.spec import Interface, ProgramSpec, TaskSpec

C = LANGUAGES["c"]
SEED = """\
#include <stdio.h>
static const double RATE = 0.5; // tune: scale 0.1..1

static double half(double x)
{
    return RATE * x;
}

double run(double x)
{
    return half(x);
}
"""


def prompt(language: str, code: str, brief: bool = False, files: list[str] | None = None, mode: str = "diff") -> str:
    spec = TaskSpec(
        name="t", direction="maximize", program=ProgramSpec(language=language, files=files or []),
    )  # fmt: skip
    request = _full_request(code, mode)  # type: ignore[arg-type]
    size = PromptSize(100_000, brief=brief)
    return "\n".join(message.content for message in researcher_prompt(Prompts(), spec, "A brief.", request, size))


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("brief", [False, True])
def test_a_prompt_speaks_of_its_language_alone(name: str, brief: bool) -> None:
    language = LANGUAGES[name]
    code = language.example[0] + "\n"
    said = prompt(name, code, brief)
    if language.title:
        assert f"{language.title} program" in said
    assert f"```{language.fence}\n" in said
    if not language.is_python:
        assert "python" not in said.lower() and "docstring" not in said
    if language.has_functions and not brief:
        assert "centre" in said


def test_a_prompt_about_a_folder_says_how_files_are_told_apart() -> None:
    code = join_files({"src/a.c": SEED, "src/b.h": "double run(double x);\n"}, C)
    said = prompt("c", code, files=["src/*"], mode="full")
    assert "A line like `// ==== FILE: PATH ====` stands before each file" in said
    assert "<program>\n// ==== FILE: PATH ====\n" in said and "// ==== FILE: src/b.h ====" in said


def test_a_small_model_is_shown_one_function_and_signatures_of_the_rest() -> None:
    long = SEED + "".join(f"double idle{n}(double x)\n{{\n    return x + {n};\n}}\n" for n in range(60))
    said = prompt("c", long, brief=True)
    assert said.count("return x + ") <= 1
    assert "double idle7(double x)" in said and "tune:" not in said


def test_functions_of_an_answer_replace_those_of_the_program() -> None:
    put = partial(put_parts, program=SEED, language=C)
    code = (
        "#include <math.h>\n\nstatic double root(double x) { return sqrt(x); }\n\n"
        "static double half(double x)\n{\n    return root(x);\n}\n"
    )
    after = put(code)
    assert after.startswith("#include <stdio.h>\n#include <math.h>\n")
    assert after.index("double root") < after.index("double half") < after.index("double run")
    assert "RATE * x" not in after and C.outline(after).functions == {"root", "half", "run"}
    assert is_part(code, SEED, C) is False and is_part("double run(double x) { return half(x); }\n", SEED, C) is True
    assert put("static const double RATE = 0.75;\n") == SEED.replace("0.5; // tune: scale 0.1..1", "0.75;")
    with pytest.raises(AnswerError, match=r"nothing in the answer's code has the name .*half, run"):
        put("double other(double x) { return x; }\n")
    with pytest.raises(AnswerError, match="not valid C"):
        put("double half(double x) { return\n")


@pytest.mark.parametrize(
    "answer",
    [
        f"<name>n</name>\n<motivation>m</motivation>\n<program>\n{SEED}</program>\n",
        f"It is so.\n\n```c\n{SEED}```\n\nFor example `half`:\n\n```c\ndouble half(double x);\n```\n",
        f"```\n{SEED}```",
        SEED,
    ],
)
def test_a_program_is_found_in_an_answer(answer: str) -> None:
    found = parse_program(answer, Interface(functions=["run"]), language=C)
    assert C.same(found.code, SEED)


def test_a_text_is_found_between_tags_or_fences() -> None:
    text = LANGUAGES["text"]
    for answer in ("<program>\nrate = 0.5\n</program>", "Here:\n```\nrate = 0.5\n```"):
        assert parse_program(answer, language=text).code == "rate = 0.5\n"
    with pytest.raises(AnswerError, match="no program"):
        parse_program("I cannot say.", language=text)
