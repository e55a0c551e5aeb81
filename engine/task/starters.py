"""The example of `evolve new` in other languages than Python, and as a folder of two files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LANGUAGES", "Starter", "missing_tool", "starter_of", "toolchain_of"]

_BY_LIBRARY = '''\
"""Runs beside the candidate, in its sandbox: calls what the build made."""

import ctypes

import evolve_task


def values(xs):
    approximate = ctypes.CDLL(evolve_task.built("approximate.so")).approximate
    approximate.argtypes, approximate.restype = [ctypes.c_double], ctypes.c_double
    return [approximate(x) for x in xs]
'''
_BY_PROCESS = '''\
"""Runs beside the candidate, in its sandbox: starts a process that reads numbers and writes numbers, as JSON."""

import json
import shutil
import subprocess

import evolve_task
{driver}

def values(xs):
    command = {command}
    if shutil.which(command[0]) is None:
        raise evolve_task.Invalid(f"{{command[0]}} is not on this machine: install it")
    done = subprocess.run(command, input=json.dumps(xs), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)
'''
_BY_IMPORT = '''\
"""Runs beside the candidate, in its sandbox, and imports its modules."""

import approximate


def values(xs):
    return [approximate.approximate(x) for x in xs]
'''
_BY_READING = '''\
"""Runs beside the candidate, in its sandbox: reads its lines NAME = NUMBER."""

import evolve_task


def values(xs):
    said = {}
    with open(evolve_task.program_file()) as file:
        for line in file:
            name, equals, number = line.partition("#")[0].partition("=")
            if equals:
                said[name.strip()] = float(number)
    return [sum(said[f"c{power}"] * x**power for power in range(len(said))) for x in xs]
'''
_NODE = '''
DRIVER = """
const { approximate } = require(process.argv[1]);
const xs = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(xs.map(approximate)));
"""
'''
_JULIA = '''
DRIVER = """
include(ARGS[1])
xs = parse.(Float64, split(strip(read(stdin, String), ['[', ']', '\\\\n']), ","))
print("[", join(approximate.(xs), ","), "]")
"""
'''
_GO_MAIN = """\
package main

import (
	"encoding/json"
	"os"
)

func main() {
	var xs []float64
	if json.NewDecoder(os.Stdin).Decode(&xs) != nil {
		os.Exit(1)
	}
	for at, x := range xs {
		xs[at] = approximate(x)
	}
	json.NewEncoder(os.Stdout).Encode(xs)
}
"""


@dataclass(frozen=True)
class Starter:
    """The example in one language: two functions, in one file or in one each."""

    correct: str
    """The first guess, made better."""
    approximate: str
    """The first guess, from `correct`."""
    recipe: str
    """Another `correct`."""
    run: str
    """The helper `run.py`, which runs beside the candidate."""
    head: str = ""
    """What begins every file."""
    link: str = ""
    """How the file of `approximate` names `correct`, if that lies in another one."""
    tool: str = ""
    """The program that builds or runs candidates; empty if there is none."""
    build: Sequence[str] = ()
    """The command that builds a candidate; `{files}` stands for all its files, `{main}` for that of `approximate`."""
    beside: Mapping[str, str] | None = None
    """Files that the build needs and no design changes."""
    has_folder: bool = True

    def seed(self, suffix: str, folder: bool) -> dict[str, str]:
        """Return the files of the seed, by their paths in the task's folder."""
        parts = [part for part in (self.correct, self.approximate) if part]
        if not folder:
            return {f"seed{suffix}": self.head + "\n".join(parts)}
        return {
            f"seed/correct{suffix}": self.head + self.correct,
            f"seed/approximate{suffix}": self.head + self.link + self.approximate,
            **{f"seed/{name}": text for name, text in (self.beside or {}).items()},
        }


_C = Starter(
    correct="""\
static const double SCALE = 0.4; // tune: scale 0.01..10

double correct(double value)
{
    return SCALE * value;
}
""",
    approximate="""\
static const double PI = 3.141592653589793; // tune: fixed

double approximate(double x)
{
    return correct(x * (PI - x));
}
""",
    recipe="""\
static const double LIFT = 0.31; // tune: scale 0.05..2
static const double BEND = 0.036; // tune: scale 0.001..1

double correct(double value)
{
    return LIFT * value + BEND * value * value;
}
""",
    run=_BY_LIBRARY,
    link="double correct(double value);\n\n",
    tool="gcc",
    build=("gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", "approximate.so", "{files}"),
)

LANGUAGES: dict[str, Starter] = {
    "c": _C,
    "cpp": Starter(
        correct=_C.correct,
        approximate=_C.approximate.replace("double approximate", 'extern "C" double approximate'),
        recipe=_C.recipe,
        run=_BY_LIBRARY,
        link=_C.link,
        tool="g++",
        build=("g++", *_C.build[1:]),
    ),
    "rust": Starter(
        correct="""\
const SCALE: f64 = 0.4; // tune: scale 0.01..10

pub fn correct(value: f64) -> f64 {
    SCALE * value
}
""",
        approximate="""\
const PI: f64 = 3.141592653589793; // tune: fixed

#[no_mangle]
pub extern "C" fn approximate(x: f64) -> f64 {
    correct(x * (PI - x))
}
""",
        recipe="""\
const LIFT: f64 = 0.31; // tune: scale 0.05..2
const BEND: f64 = 0.036; // tune: scale 0.001..1

pub fn correct(value: f64) -> f64 {
    LIFT * value + BEND * value * value
}
""",
        run=_BY_LIBRARY,
        link="mod correct;\nuse correct::correct;\n\n",
        tool="rustc",
        build=("rustc", "-O", "--crate-type", "cdylib", "-o", "approximate.so", "{main}"),
    ),
    "go": Starter(
        correct="""\
const scale = 0.4 // tune: scale 0.01..10

func correct(value float64) float64 {
	return scale * value
}
""",
        approximate="""\
const pi = 3.141592653589793 // tune: fixed

func approximate(x float64) float64 {
	return correct(x * (pi - x))
}
""",
        recipe="""\
const lift = 0.31 // tune: scale 0.05..2
const bend = 0.036 // tune: scale 0.001..1

func correct(value float64) float64 {
	return lift*value + bend*value*value
}
""",
        run=_BY_PROCESS.format(driver="", command='[evolve_task.built("approximate")]'),
        head="package main\n\n",
        tool="go",
        # Go wants a home for its cache, and what lies in the folder behind the build is kept.
        build=("sh", "-c", "HOME=$PWD/home go build -o approximate *.go && rm -rf home"),
        beside={"main.go": _GO_MAIN},
    ),
    "javascript": Starter(
        correct="""\
const SCALE = 0.4; // tune: scale 0.01..10

function correct(value) {
  return SCALE * value;
}
""",
        approximate="""\
const PI = 3.141592653589793; // tune: fixed

function approximate(x) {
  return correct(x * (PI - x));
}

module.exports = { approximate };
""",
        recipe="""\
const LIFT = 0.31; // tune: scale 0.05..2
const BEND = 0.036; // tune: scale 0.001..1

function correct(value) {
  return LIFT * value + BEND * value * value;
}
""",
        run=_BY_PROCESS.format(driver=_NODE, command='["node", "-e", DRIVER, evolve_task.program_file()]'),
        tool="node",
        has_folder=False,
    ),
    "julia": Starter(
        correct="""\
const SCALE = 0.4 # tune: scale 0.01..10

function correct(value)
    return SCALE * value
end
""",
        approximate="""\
const PI = 3.141592653589793 # tune: fixed

function approximate(x)
    return correct(x * (PI - x))
end
""",
        recipe="""\
const LIFT = 0.31 # tune: scale 0.05..2
const BEND = 0.036 # tune: scale 0.001..1

function correct(value)
    return LIFT * value + BEND * value * value
end
""",
        run=_BY_PROCESS.format(driver=_JULIA, command='["julia", "-e", DRIVER, evolve_task.program_file()]'),
        tool="julia",
        has_folder=False,
    ),
    "text": Starter(
        correct="",
        approximate="""\
# The polynomial c0 + c1 x + c2 x^2 + …
c0 = 0.0 # tune: scale -2..2
c1 = 1.257 # tune: scale -2..2
c2 = -0.4 # tune: scale -2..2
""",
        recipe="",
        run=_BY_READING,
        has_folder=False,
    ),
    "python": Starter(
        correct="""\
SCALE = 0.4  # tune: scale 0.01..10


def correct(value):
    return SCALE * value
""",
        approximate="""\
PI = 3.141592653589793  # tune: fixed


def approximate(x):
    return correct(x * (PI - x))
""",
        recipe="""\
LIFT = 0.31  # tune: scale 0.05..2
BEND = 0.036  # tune: scale 0.001..1


def correct(value):
    return LIFT * value + BEND * value * value
""",
        run=_BY_IMPORT,
        link="from correct import correct\n\n",
    ),
}


def starter_of(language: str, folder: bool) -> Starter | None:
    """Return the example in a language; None if there is none."""
    found = LANGUAGES.get(language)
    return None if found is None or (folder and not found.has_folder) else found


def missing_tool(language: str) -> str:
    """Return the program that the example in a language needs and that is not found; empty if there is none."""
    starter = LANGUAGES.get(language)
    return starter.tool if starter is not None and starter.tool and shutil.which(starter.tool) is None else ""


def toolchain_of(tool: str) -> tuple[str, list[str]] | None:
    """Return how a build calls a tool, and the folders that it must be shown for that; None if it is not found.

    A sandbox shows no home: `rustc` of rustup is named by its file in the toolchain, which is shown.
    """
    found = shutil.which(tool)
    if found is None:
        return None
    if tool != "rustc" or not Path(found).is_relative_to(Path.home()):
        return tool, []
    try:
        asked = subprocess.run([found, "--print", "sysroot"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return tool, []
    root = asked.stdout.strip()
    return f"{root}/bin/rustc", [root]
