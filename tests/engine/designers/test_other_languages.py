"""Recombination of programs in other languages than Python: numbers, and functions where a grammar finds them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from engine.designers.recombine.crossing import take_values
from engine.designers.recombine.editor import Editor
from engine.designers.recombine.languages.source import Source, read_source
from engine.designers.recombine.languages.splice import graft
from engine.designers.recombine.messages import (
    Apply,
    Donor,
    Edited,
    Failed,
    Graft,
    Hello,
    Options,
    Revert,
    SetValue,
    Survey,
    TakeValues,
)
from engine.designers.recombine.program import EditError, Program
from engine.designers.recombine.tune import set_value
from engine.designers.recombine.worker import editor_of
from engine.programs.languages.registry import LANGUAGES

SEED = """\
// How much room is worth.
#include <vector>

#define WEIGHT 2 // tune: effort 1..8
static const double EAGER = 0.5; // tune: scale 0.01..2
static const double TABLE[3] = {1.0, -2.5, 3};

static double worth(double room)
{
    return WEIGHT * room;
}

/* The value of a bin. */
static double score(double room, double item)
{
    return EAGER * worth(room - item) + TABLE[0] * 1.5;
}

int choose(const std::vector<double> &rooms, double item)
{
    int best = -1;
    double least = 1e9;
    for (int i = 0; i < (int)rooms.size(); ++i) {
        if (rooms[i] >= item && score(rooms[i], item) < least) {
            least = score(rooms[i], item);
            best = i;
        }
    }
    return best;
}
"""
RECIPE = """\
#include <cmath>
#include <vector>

static const double EAGER = 0.9; // tune: scale 0.1..4

static double worth(double room) { return std::sqrt(room); }

static double bonus(double x) { return x * 0.25; }

static double score(double room, double item)
{
    // Roots favour tight bins.
    return EAGER * worth(room - item) - bonus(item);
}
"""
CPP = LANGUAGES["cpp"]
SEEN = frozenset({"score", "choose"})


def source(code: str, name: str = "cpp") -> Source:
    return read_source(code, LANGUAGES[name])


def names(program: Source) -> dict[str, object]:
    return {tunable.name: tunable.value for tunable in program.tunables(["choose"])}


def compiles(code: str, tmp_path: Path) -> None:
    path = tmp_path / "program.cpp"
    path.write_text(code)
    done = subprocess.run(
        ["gcc", "-fsyntax-only", "-Wall", "-Werror", str(path)], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr


def editor(*seeds: str) -> Editor[Program] | Editor[Source]:
    return editor_of(Hello(list(seeds), ["choose"], 10_000, "cpp"))


def test_numbers_are_found_with_their_names_and_rules() -> None:
    assert names(source(SEED)) == {
        "WEIGHT": 2,
        "EAGER": 0.5,
        "TABLE[0]": 1.0,
        "TABLE[1]": -2.5,
        "TABLE[2]": 3,
        "a number in score()": 1.5,
        "least in choose()": 1e9,
    }
    bounds = {tunable.name: (tunable.kind, tunable.low, tunable.high) for tunable in source(SEED).tunables(["choose"])}
    assert bounds["WEIGHT"] == ("effort", 1.0, 8.0)
    assert bounds["EAGER"] == ("scale", 0.01, 2.0)


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("c", "float a = 0.5f;\nint b = 3;\nint t[2] = {0x10, 3u};\n", {"a": 0.5, "t[0]": 16, "t[1]": 3}),
        (
            "rust",
            "const A: f64 = 0.5_f64;\nstatic T: [f64; 2] = [-1.5, 2e-3];\n",
            {"A": 0.5, "T[0]": -1.5, "T[1]": 2e-3},
        ),
        ("go", "package a\nconst A = 0.5\nvar T = []float64{1, -2.5}\n", {"A": 0.5, "T[0]": 1, "T[1]": -2.5}),
        ("julia", "const A = 0.5\nf(x; rate=2) = A * x\n", {"A": 0.5, "f(rate)": 2}),
        (
            "javascript",
            "const A = 0.5;\nlet o = { rate: 0.25, list: [1] };\n",
            {"A": 0.5, "o[rate]": 0.25, "o[list][0]": 1},
        ),
        ("text", "rate = 0.5\nsteps: 30 # tune: effort 5..200\nv1.2 3\n", {"rate": 0.5, "steps": 30}),
    ],
)
def test_numbers_of_other_languages(name: str, code: str, expected: dict[str, object]) -> None:
    program = source(code, name)
    found = {tunable.name.partition(" in ")[0]: tunable for tunable in program.tunables([])}
    assert {key: found[key].value for key in expected} == expected
    for tunable in found.values():
        assert isinstance(tunable.value, int | float)
        changed = set_value(program, tunable.owner, tunable.index, tunable.value, tunable.value * 3)
        after = source(changed, name)
        assert {other.value for other in after.tunables([]) if other.name == tunable.name} >= {tunable.value * 3}
        assert set_value(after, tunable.owner, tunable.index, tunable.value * 3, tunable.value)
        assert changed.count("\n") == code.count("\n")


def test_a_number_keeps_its_suffix_and_a_sign_is_put_in_brackets() -> None:
    program = source("float f(float x) { return x - 0.5f; }\n", "c")
    assert set_value(program, "f", 0, 0.5, 0.25) == "float f(float x) { return x - 0.25f; }\n"
    assert set_value(program, "f", 0, 0.5, -0.25) == "float f(float x) { return x - (-0.25f); }\n"
    with pytest.raises(EditError, match="does not hold the value"):
        set_value(program, "f", 0, 0.75, 1.0)


@pytest.mark.needs("gcc")
def test_a_recipe_brings_helpers_constants_and_headers_and_leaves_nothing_idle(tmp_path: Path) -> None:
    after = graft(source(SEED), source(RECIPE), "score", SEEN, ["choose"])
    compiles(after, tmp_path)
    assert after.startswith("// How much room is worth.\n#include <vector>\n#include <cmath>\n")
    assert after.count("double worth(") == after.count("double bonus(") == after.count("EAGER =") == 1
    assert "std::sqrt" in after and "// tune: scale 0.1..4" in after and "Roots favour" in after
    assert not {"WEIGHT", "TABLE", "The value of a bin"} & {word for word in ("WEIGHT", "TABLE") if word in after}
    back = graft(source(after), source(SEED), "score", SEEN, ["choose"])
    compiles(back, tmp_path)
    assert source(back).functions["score"].text == source(SEED).functions["score"].text
    assert "bonus" not in back and "std::sqrt" not in back


@pytest.mark.needs("gcc")
def test_a_helper_that_others_use_keeps_its_name(tmp_path: Path) -> None:
    used = SEED.replace("rooms[i] >= item &&", "worth(rooms[i]) >= item &&")
    after = graft(source(used), source(RECIPE), "score", SEEN, ["choose"])
    compiles(after, tmp_path)
    assert "double worth_2(double room) { return std::sqrt" in after
    assert "EAGER * worth_2(room - item)" in after and "worth(rooms[i]) >= item" in after and "WEIGHT * room" in after


def test_edits_come_from_recipes_nodes_and_seeds() -> None:
    other = SEED.replace("0.5;", "0.75;").replace("1.5;", "1.25;")
    new = SEED.replace("least = score(rooms[i], item);", "least = score(rooms[i], item) * 2;")
    found = editor(SEED).handle(Survey(1, other, [Donor("prior", RECIPE)], [Donor("1", SEED), Donor("2", new)]))
    assert isinstance(found, Options)
    assert {(item.function, item.donor) for item in found.swaps} == {("score", "prior"), ("worth", "prior")}
    assert {(item.function, item.donor) for item in found.exchanges} == {("choose", "2")}
    assert {(item.function, item.donor) for item in found.crossings} == {("score", "1"), ("score", "2")}
    assert {(item.function, item.donor) for item in found.reverts} == {("score", "0")}
    assert found.functions == ["worth", "score", "choose"]
    assert len(found.tunables) == 7


def test_edits_are_described_by_what_they_change() -> None:
    made = editor(SEED).handle(
        Apply(1, SEED, [Graft("score", RECIPE), SetValue("EAGER", 0, 0.9, 1.1), SetValue("gone", 0, 1, 2)])
    )
    assert isinstance(made, Edited)
    assert made.outline is not None and made.outline.digest == CPP.outline(made.program).digest
    assert {(change.what, change.name) for change in made.changes[0]} >= {("changed", "score"), ("added", "bonus")}
    assert [(change.name, change.old, change.new) for change in made.changes[1]] == [("EAGER", "0.5", "1.1")]
    assert made.changes[2] == [] and "gone" in made.problem
    again = editor(SEED).handle(Apply(2, made.program, [Revert("score", 0)]))
    assert (
        isinstance(again, Edited)
        and source(again.program).functions["score"].text == source(SEED).functions["score"].text
    )


def test_an_edit_that_nothing_reaches_is_none_and_one_that_breaks_the_program_is_told() -> None:
    unused = SEED.replace("int choose", "static double idle = 0.5;\n\nint choose")
    made = editor(SEED).handle(Apply(1, unused, [SetValue("idle", 0, 0.5, 0.25)]))
    assert isinstance(made, Edited) and made.outline is None and made.changes == [[]]
    small = editor_of(Hello([SEED], ["choose"], 900, "cpp"))
    made = small.handle(Apply(1, SEED, [Graft("score", RECIPE + "\n" + "// long\n" * 200)]))
    assert isinstance(made, Edited)
    assert isinstance(editor(SEED).handle(Survey(1, "int f( {", [], [])), Failed)


def test_values_are_crossed_within_their_bounds() -> None:
    donor = source(SEED.replace("0.5;", "5.0;").replace("1.5;", "1.25;"))
    for seed in range(8):
        after = names(source(take_values(source(SEED), donor, "score", SEEN, seed)))
        # 5.0 lies outside of what the comment allows.
        assert after["EAGER"] == 0.5
        assert after["a number in score()"] == 1.25
    made = editor(SEED).handle(Apply(1, SEED, [TakeValues("score", donor.code, 1)]))
    assert isinstance(made, Edited) and made.outline is not None
    with pytest.raises(EditError, match="another one"):
        take_values(source(SEED), source(RECIPE), "score", SEEN, 0)


def test_a_text_has_numbers_and_no_functions() -> None:
    text = "PARAMETER rate = 0.5 ! tune: scale 0.1..2\nprint rate\n"
    found = editor_of(Hello([text], [], 1000, "text")).handle(Survey(1, text, [], [Donor("1", text)]))
    assert isinstance(found, Options)
    assert (found.functions, [tunable.name for tunable in found.tunables]) == ([], ["rate"])
    edit = SetValue(found.tunables[0].owner, 0, 0.5, 0.75)
    made = editor_of(Hello([text], [], 1000, "text")).handle(Apply(2, text, [edit]))
    assert isinstance(made, Edited) and made.outline is not None
    assert made.program == text.replace("0.5", "0.75")
    assert [(change.name, change.old, change.new) for change in made.changes[0]] == [("rate", "0.5", "0.75")]


GO = """\
package p

import (
\t"fmt"
\t"os"
)

func f(x float64) float64 { return x }

func main() { fmt.Println(1); os.Exit(int(f(1))) }
"""


def go(code: str) -> Source:
    return read_source(code, LANGUAGES["go"])


def grafted(program: str, donor: str) -> str:
    return graft(go(program), go(donor), "f", frozenset({"f", "main"}), ["main"])


def test_the_code_of_c_before_an_import_moves_with_it() -> None:
    """Go reads the comment directly before `import "C"` as code of C."""
    for preamble in ("// #include <math.h>", "/*\n#include <math.h>\n*/"):
        donor = f'package p\n\n{preamble}\nimport "C"\n\nfunc f(x float64) float64 {{ return C.sqrt(x) }}\n'
        assert f'{preamble}\nimport "C"\n' in grafted(GO, donor)


def test_imports_of_go_come_once_and_go_when_nothing_reads_them() -> None:
    """An import that is idle or stands twice in a file is an error of Go's compiler."""
    donor = 'import "math"\nimport "fmt"\n\nfunc f(x float64) float64 { fmt.Print(x); return math.Sqrt(x) }\n'
    after = grafted(GO, donor)
    assert (after.count('"fmt"'), after.count('"math"')) == (1, 1)
    assert grafted(after, GO) == GO
    versioned = 'import "math/rand/v2"\n\nfunc f(x float64) float64 { return rand.Float64() }\n'
    assert '"math/rand/v2"' in grafted(GO, versioned)


def test_imports_of_go_are_counted_file_by_file() -> None:
    folder = f'// ==== FILE: a.go ====\n{GO}\n// ==== FILE: b.go ====\npackage p\n\nimport "os"\n\nvar Args = os.Args\n'
    donor = 'package p\n\nimport "math"\n\nfunc f(x float64) float64 { return math.Sqrt(x) }\n'
    after = grafted(folder, donor)
    assert (after.count('"os"'), after.count('"math"')) == (2, 1)
    assert grafted(after, GO) == folder


def test_a_type_that_stands_behind_the_function_comes_before_it() -> None:
    """In C a definition stands before its use, whichever function of the program came with it."""
    language = LANGUAGES["c"]
    program = read_source(
        "static void first(float *x) { x[0] = 1; }\n\n#define SIZE 4\n\n"
        "typedef float wide __attribute__((vector_size(16)));\n\n"
        "static void second(wide *x) { x[0] += SIZE; }\n\nvoid kernel(void *x) { first(x); second(x); }\n",
        language,
    )
    recipe = read_source(
        "#define SIZE 8\n\ntypedef float wide __attribute__((vector_size(16)));\n\n"
        "static void first(float *x) { *(wide *)x += SIZE; }\n",
        language,
    )
    code = graft(program, recipe, "first", frozenset({"first", "second", "kernel"}), ["kernel"])
    assert code.count("typedef") == 1
    places = [
        code.index(text) for text in ("#define SIZE_2 8", "typedef", "void first", "#define SIZE 4", "void second")
    ]
    assert places == sorted(places)
