"""Programs in other languages: parted, compared and checked without being run."""

from __future__ import annotations

import sys
from subprocess import run

import pytest

from engine.programs.languages.registry import LANGUAGES, language_named
from engine.programs.minhash import sketch
from engine.programs.outline import ProgramError

C = """\
#include <stdint.h>
#define BLOCK 64 // tune: effort 4..64
#ifndef TWICE
#define TWICE(a) ((a) * 2)
#endif
static const double RATE = 0.5;
static double half(double x);
typedef struct { int a; } pair;

/* Adds. */
static inline double half(double x)
{
    return RATE * x;
}

double total(const double *values, int count)
{
    double sum = 0.0;
    for (int i = 0; i < count; ++i)
        sum += half(values[i]);
    return sum;
}
"""
CPP = """\
#include <vector>
namespace inner {
template <typename T> T twice(T a, int times = 2) { return a * times; }
}
extern "C" int count(void) { return 3; }
class Box { int a; };
int Box_size(const std::vector<int> &box) { return box.size(); }
"""
CUDA = """\
__global__ void scale(float *a, int n) { int i = threadIdx.x; if (i < n) a[i] *= 2.0f; }
void go(float *a, int n) { scale<<<n / 256 + 1, 256>>>(a, n); }
"""
RUST = """\
use std::mem;
const RATE: f64 = 0.5;
#[inline]
fn half(x: f64) -> f64 { RATE * x }
struct Pair { a: i32 }
impl Pair { fn sum(&self) -> i32 { self.a } }
"""
GO = """\
package main
import ("math"; "os")
const Rate, Other = 0.5, 2
type Pair struct { a int }
func half(x, y float64) float64 { return Rate * math.Sqrt(x) }
func (p *Pair) sum() int { return p.a }
"""
JULIA = """\
using LinearAlgebra
const RATE = 0.5
half(x) = RATE * x
function total(values, n::Int; scale=1.0)
    return sum(values)
end
struct Pair
    a::Int
end
"""
JAVASCRIPT = """\
import { x } from "fs";
const RATE = 0.5, OTHER = [1, 2];
const half = (a) => RATE * a;
export function total(a, b = 3) { return a + b; }
class Pair { sum() { return 1; } }
"""
PARTS = {
    "c": (C, {"half": 1, "total": 2}, {"pair"}, {"stdint.h"}, {"BLOCK", "TWICE", "RATE"}),
    "cpp": (CPP, {"twice": 2, "count": 0, "Box_size": 1}, {"Box"}, {"vector"}, set()),
    "cuda": (CUDA, {"scale": 2, "go": 2}, set(), set(), set()),
    "rust": (RUST, {"half": 1}, {"Pair"}, {"std::mem"}, {"RATE"}),
    "go": (GO, {"half": 2, "Pair.sum": 0}, {"Pair"}, {"math", "os"}, {"Rate", "Other"}),
    "julia": (JULIA, {"half": 1, "total": 2}, {"Pair"}, {"LinearAlgebra"}, {"RATE"}),
    "javascript": (JAVASCRIPT, {"half": 1, "total": 2}, {"Pair"}, {"fs"}, {"RATE", "OTHER"}),
}


@pytest.mark.parametrize("name", PARTS)
def test_top_level_is_found(name: str) -> None:
    code, functions, types, imports, values = PARTS[name]
    language = LANGUAGES[name]
    shape = language.outline(code)
    assert (shape.functions, shape.classes, shape.imports) == (functions.keys(), types, imports)
    assert values <= set(shape.parts)
    found = language.reader.parsed(code).parts  # type: ignore[attr-defined]
    assert {part.names[0]: part.parameters for part in found if part.kind == "function"} == functions
    lines = code.split("\n")
    for passage in language.passages(code):
        text = "\n".join(lines[passage.start : passage.end])
        assert all(item.rpartition(".")[2] in text for item in passage.names)


@pytest.mark.parametrize("name", PARTS)
def test_layout_and_comments_do_not_count_and_numbers_do(name: str) -> None:
    code, language = PARTS[name][0], LANGUAGES[name]
    sign = language.comment
    spaced = "\n\n".join(f"{line}  {sign} said" if line.endswith((";", "}")) else line for line in code.split("\n"))
    assert spaced != code
    assert language.same(code, spaced)
    changed = code.replace("2", "7").replace("0.5", "0.25").replace("3", "9")
    assert not language.same(code, changed)
    assert language.changed_parts(code, changed)
    assert sketch(code, sign) == sketch(f"{sign} said\n{code}", sign)


@pytest.mark.parametrize("name", [name for name in LANGUAGES if LANGUAGES[name].has_functions])
def test_examples_of_prompts_are_programs_and_halves_of_them_are_not(name: str) -> None:
    language = LANGUAGES[name]
    assert "distance" in language.outline(language.example[0]).functions
    whole = language.example[1]
    assert "centre" in language.outline(whole).functions
    with pytest.raises(ProgramError, match="line"):
        language.outline(whole[: whole.rindex("sort" if "sort" in whole else "(")] + "(")


def test_where_a_syntax_error_is() -> None:
    with pytest.raises(ProgramError, match=r"line 2: ';' is missing"):
        LANGUAGES["c"].outline("int a;\nint f(void) { return 3 }\n")


def test_a_string_with_blanks_differs_from_one_without() -> None:
    assert not LANGUAGES["c"].same('char *a = "x  y";', 'char *a = "x y";')
    assert not LANGUAGES["javascript"].same("function f() { return\n1 }", "function f() { return 1 }")
    assert LANGUAGES["c"].same("#define A 1 // one\n", "#define A 1\n")


def test_a_dialect_that_only_its_compiler_knows_is_taken_if_the_task_says_so() -> None:
    odd = "int f(void) { return 1 ?? 2; }\n"
    with pytest.raises(ProgramError):
        language_named("c").outline(odd)
    assert language_named("c", strict=False).outline(odd).functions == {"f"}


def test_text_is_lines() -> None:
    language = LANGUAGES["text"]
    assert language.same("a  b\n\nc", "a b\nc\n")
    assert not language.same("a b", "a c")
    with pytest.raises(ProgramError, match="empty"):
        language.outline(" \n")


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(ProgramError, match="nested too deeply"):
        LANGUAGES["c"].outline(f"int a = {'(' * 5000}1{')' * 5000};")


def test_python_is_as_it_was_and_needs_no_grammar() -> None:
    code = (
        "import sys\n"
        "from engine.programs.languages.registry import LANGUAGES\n"
        "from engine.programs.outline import outline\n"
        "for name in ('python', 'triton'):\n"
        "    assert LANGUAGES[name].outline('X = 1') == outline('X = 1')\n"
        "assert not [name for name in sys.modules if name.startswith('tree_sitter')]\n"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def _same(name: str, one: str, other: str) -> bool:
    reader = language_named(name).reader
    return reader.outline(one).digest == reader.outline(other).digest


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("go", "package a\nfunc f() {}\n", "package a\n//go:noinline\nfunc f() {}\n"),
        ("go", "package a\nfunc f() {}\n", "package a\n//export f\nfunc f() {}\n"),
        ("go", 'package a\n/*\nint x = 1;\n*/\nimport "C"\n', 'package a\n/*\nint x = 2;\n*/\nimport "C"\n'),
        ("go", 'package a\n// int x;\n// int y;\nimport "C"\n', 'package a\n// int z;\n// int y;\nimport "C"\n'),
        ("go", 'package a\nimport (\n// int x;\n"C"\n)\n', 'package a\nimport (\n// int z;\n"C"\n)\n'),
        ("julia", "y = [x -1]\n", "y = [x - 1]\n"),
        ("julia", "y = [1 2; 3 4]\n", "y = [1 2;; 3 4]\n"),
        ("julia", "y = [i -1 for i in z]\n", "y = [i - 1 for i in z]\n"),
        ("julia", "@show x -1\n", "@show x - 1\n"),
        ("c", "int x;\n", "#pragma pack(1)\nint x;\n"),
        ("c", "int f(void) { for (;;); }\n", "int f(void) {\n#pragma omp simd\nfor (;;); }\n"),
        ("c", "int f(void) { return 1; }\n", "__attribute__((noinline)) int f(void) { return 1; }\n"),
        ("cpp", "int f() { return 1; }\n", "[[gnu::noinline]] int f() { return 1; }\n"),
        ("rust", "fn f() {}\n", "#[inline(never)]\nfn f() {}\n"),
        ("rust", "fn f() {}\n", "#![no_std]\nfn f() {}\n"),
    ],
)
def test_what_a_compiler_obeys_counts(name: str, one: str, other: str) -> None:
    assert not _same(name, one, other)


def test_other_comments_and_layout_beside_them_do_not_count() -> None:
    assert _same("go", 'package a\n// one\nimport "os"\n', 'package a\n// two\nimport "os"\n')
    assert _same("go", 'package a\n// one\n\nimport "C"\n', 'package a\n// two\n\nimport "C"\n')
    assert _same("go", "package a\n//go:noinline\nfunc f() {}\n", "package a\n// go\n//go:noinline\n\nfunc f()  {}\n")
    assert _same("julia", "y = [x 1]\n", "y  =  [x  #=one=#  1]\n")
