"""Programs of several files: parted, joined and checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.designers.recombine.languages.source import read_source
from engine.designers.recombine.languages.splice import graft
from engine.designers.recombine.messages import (
    Apply,
    Donor,
    Edited,
    Graft,
    Hello,
    Options,
    Replaced,
    Survey,
)
from engine.designers.recombine.worker import editor_of
from engine.programs.folders import check_editable, check_files, file_lines, join_files, matches, split_files
from engine.programs.languages.registry import LANGUAGES
from engine.programs.outline import ProgramError

C = LANGUAGES["c"]
FILES = {
    "src/a.c": '#include "b.h"\n\nint first(int x) { return second(x); }\n',
    "src/b.c": "// What it adds.\nint second(int x) { return x + 1; }\n",
    "src/b.h": "int second(int x);\n",
}
NAMES = st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6}){0,2}\.c", fullmatch=True)
TEXTS = st.lists(st.text("abc =;/*\t", max_size=12), max_size=6).map("\n".join)


@given(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=5), st.sampled_from([*LANGUAGES.values()]))
def test_files_come_out_as_they_went_in(files: dict[str, str], language: object) -> None:
    found = split_files(join_files(files, language))  # type: ignore[arg-type]
    assert found == {path: files[path].strip("\n").rstrip() + "\n" for path in sorted(files)}


def test_a_program_of_several_files_is_one_to_all_that_reads_it() -> None:
    code = join_files(FILES, C)
    shape = C.outline(code)
    assert shape.functions == {"first", "second"}
    assert check_files(code, ["src/*"]) == FILES
    # Which file a function stands in makes no other program.
    moved = join_files({"src/a.c": FILES["src/a.c"] + FILES["src/b.c"], "src/b.h": FILES["src/b.h"]}, C)
    assert C.outline(moved).digest == shape.digest


def test_a_helper_is_replaced_where_it_stands() -> None:
    program = read_source(join_files(FILES, C), C)
    recipe = "int second(int x) { return x + 2; }\nint first(int x) { return second(x) * 3; }\n"
    code = graft(program, read_source(recipe, C), "first", frozenset({"first"}), ["first"])
    files = split_files(code)
    assert "x + 2" in files["src/b.c"] and "second(x) * 3" in files["src/a.c"] and "x + 2" not in files["src/a.c"]


def test_a_declared_module_is_no_function_of_its_name() -> None:
    shape = LANGUAGES["rust"].outline("mod score;\nfn score() {}\nmod inner { fn f() {} }\n")
    assert (shape.functions, shape.classes) == ({"score"}, {"inner"})


def test_a_splice_stays_in_its_file() -> None:
    recipe = "#include <math.h>\nstatic int two(void) { return 2; }\nint second(int x) { return two() + sqrt(x); }\n"
    program = read_source(join_files(FILES, C), C)
    code = graft(program, read_source(recipe, C), "second", frozenset({"first", "second"}), ["first"])
    assert file_lines(code) == file_lines(program.code)
    files = split_files(code)
    assert {path: files[path] for path in ("src/a.c", "src/b.h")} == {
        path: FILES[path] for path in ("src/a.c", "src/b.h")
    }
    assert files["src/b.c"].startswith("#include <math.h>\n") and "What it adds" not in files["src/b.c"]
    assert files["src/b.c"].index("int two") < files["src/b.c"].index("int second")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("int a;\n// ==== FILE: src/a.c ====\n", "must begin with a comment"),
        ("int a;\n", "has no line|must begin"),
        ("\n\n", "has no line"),
        ("// ==== FILE: src/a.c ====\n// ==== FILE: src/a.c ====\n", "twice"),
        ("// ==== FILE: ../a.c ====\n", "no plain path"),
        ("// ==== FILE: /etc/a.c ====\n", "no plain path"),
        ("// ==== FILE: src//a.c ====\n", "no plain path"),
        ("// ==== FILE: src/.a.c ====\n", "no plain path"),
        ("// ==== FILE: src/a\tb.c ====\n", "no plain path"),
        ("// ==== FILE: Makefile ====\n", "not one of src/\\*"),
        ("// ==== FILE: src/deep/a.c ====\n", "not one of"),
        ("// ==== FILE: src/a ====\n// ==== FILE: src/a/b ====\n", "not one of|a file and a folder"),
        ("".join(f"// ==== FILE: src/{n}.c ====\n" for n in range(201)), "201 files"),
    ],
)
def test_what_is_no_folder_of_files(code: str, problem: str) -> None:
    with pytest.raises(ProgramError, match=problem) as info:
        check_files(code, ["src/*"])
    assert info.value.check == "files"


def test_a_function_of_python_goes_into_the_file_that_defines_it() -> None:
    near = "from far import score\n\nSIZE = 2\n\n\ndef choose(x):\n    return score(x) + SIZE\n"
    far = "RATE = 0.5\n\n\ndef half(x):\n    return RATE * x\n\n\ndef score(x):\n    return half(x)\n"
    code = join_files({"near.py": near, "far.py": far}, LANGUAGES["python"])
    recipe = "import math\n\nPOWER = 0.5\n\n\ndef score(x):\n    return math.pow(x, POWER)\n"
    editor = editor_of(Hello([code], ["choose"], 10_000))
    found = editor.handle(Survey(1, code, [Donor("recipe", recipe)], []))
    assert isinstance(found, Options) and found.swaps == [Replaced("score", "recipe")]
    swapped = editor.handle(Apply(2, code, [Graft("score", recipe)]))
    assert isinstance(swapped, Edited) and swapped.outline is not None
    files = split_files(swapped.program)
    assert files["near.py"] == near
    assert files["far.py"].startswith("import math\n") and "POWER" in files["far.py"] and "RATE" in files["far.py"]
    back = editor.handle(Apply(3, swapped.program, [Graft("score", code)]))
    assert isinstance(back, Edited) and "math" not in back.program
    assert "return half(x)" in split_files(back.program)["far.py"]


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        ("// ==== FILE: a.c ====\nint a;\n// ==== FILE: b.h ====\nint b;\n", ""),
        ("// ==== FILE: b.h ====\nint b;\n", ""),
        ("// ==== FILE: b.h ====\nint c;\n", "changes the file b.h; only \\*.c may change"),
        ("// ==== FILE: a.c ====\nint b;\n", "leaves out the file b.h"),
        ("// ==== FILE: b.h ====\nint b;\n// ==== FILE: c.h ====\n", "adds the file c.h"),
    ],
)
def test_only_editable_files_may_differ(after: str, problem: str) -> None:
    before = "// ==== FILE: a.c ====\nint z;\n\n// ==== FILE: b.h ====\nint b;\n"
    if not problem:
        return check_editable(before, after, ["*.c"])
    with pytest.raises(ProgramError, match=problem):
        check_editable(before, after, ["*.c"])


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("src/a.c", "src/*.c", True),
        ("src/x/a.c", "src/*.c", False),
        ("src/x/a.c", "src/**", True),
        ("src.c", "src/**", False),
        ("a.rs", "*.rs", True),
        ("axrs", "*.rs", False),
    ],
)
def test_patterns(path: str, pattern: str, fits: bool) -> None:
    assert matches(path, pattern) is fits


@pytest.mark.parametrize("path", ["/tmp/x.c", "../x.c", "src/../../x.c", ".profile", "src\\x.c", ""])
def test_no_program_is_taken_apart_into_files_outside_its_folder(path: str) -> None:
    with pytest.raises(ProgramError, match="no plain path"):
        split_files(f"// ==== FILE: src/a.c ====\n// ==== FILE: {path} ====\nint a;\n")
