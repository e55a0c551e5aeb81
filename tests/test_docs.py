"""The pages: every relative link and every `evolve …` command line in them is real, and the README stays short."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import pkgutil
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.main import get_command

import engine.cli
from engine.cli.app import app
from engine.settings.model import Settings
from engine.settings.models import ModelSpec
from engine.task.spec import BuildSpec, Interface, Limits, ProgramSpec, Stage, TaskSpec

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("sample_runs/**/README.md")),
]
README_LINES = 150

_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<body>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]\n]*\]\(<?([^)\s>]+)>?[^)\n]*\)")
_INLINE = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"(?:^|[;&|(]|(?<=\s))(?:[A-Z_]+=\S*\s+)*(?:\.venv/bin/)?evolve(?P<rest>(?:\s[^#;&|\n]*)?)")
_PATH = re.compile(r"(?:engine|tui|cognition|kernels|tests|docs|sample_runs)/[\w./-]*")
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_.]*…?|…|[A-Z]+\.\w+|[A-Z]+/[A-Z]+")


def pages(*chosen: Path) -> list[Any]:
    """The pages as parameters, each named by its place."""
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in chosen or PAGES]


def prose_of(text: str) -> str:
    """A page without its fenced blocks, with as many lines."""
    return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", prose_of(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = next(n for n in itertools.count() if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


def broken_links(page: Path) -> list[str]:
    """What is wrong with the relative links of a page, a sentence each."""
    wrong = []
    for target in _LINK.findall(prose_of(page.read_text())):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_relative_to(ROOT) or not file.exists():
            wrong.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors_of(file.read_text()):
            wrong.append(f"{target}: the page has no such heading")
    return wrong


def typed_lines(text: str) -> Iterator[str]:
    """What follows `evolve` in each command line that a page's blocks for a shell hold."""
    for block in _FENCE.finditer(text):
        if block["language"].strip() in ("sh", "console"):
            shell = block["body"].replace("\\\n", " ")
            for line in shell.splitlines():
                # In a block of the second kind what is typed follows a prompt; the rest is output.
                if block["language"].strip() == "sh" or line.startswith("$ "):
                    yield from (found["rest"].strip() for found in _COMMAND.finditer(line.removeprefix("$ ")))


def mentions(text: str) -> Iterator[str]:
    """What follows `evolve` in each command line that stands between backquotes."""
    for code in _INLINE.findall(prose_of(text)):
        if found := re.match(r"(?:[A-Z_]+=\S*\s+)*evolve(?=\s|$)(.*)", code):
            yield found[1].strip()


@functools.cache
def evolve_command() -> Any:
    """The command line with all its commands: loading a file of it adds its own."""
    for module in pkgutil.iter_modules(engine.cli.__path__, "engine.cli."):
        importlib.import_module(module.name)
    return get_command(app)


def problem_of(line: str, mention: bool = False) -> str:
    """Why the command line would be refused; empty if it would not. A mention may be a command's name alone."""
    try:
        words = shlex.split(re.sub(r"[\[\]](?![^' ]*')", "", line), comments=True)
    except ValueError as exc:
        return str(exc)
    command = evolve_command()
    context: Any = command.make_context("evolve", [], resilient_parsing=True)
    while hasattr(command, "commands"):
        context.resilient_parsing = False
        try:
            _, words, _ = command.make_parser(context).parse_args(words)
        except Exception as exc:  # typer brings a click of its own, whose errors have no public name.
            return str(getattr(exc, "message", "") or exc)
        if not words:
            return ""
        name = words.pop(0)
        if name not in command.commands:
            return f"there is no command '{name}'"
        command = command.commands[name]
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    if "--help" in words or (mention and not words):
        return ""
    # What an incomplete command line would be forgiven while it is completed is wrong here.
    context.resilient_parsing = False
    try:
        given, left, _ = command.make_parser(context).parse_args(words)
    except Exception as exc:
        return str(getattr(exc, "message", "") or exc)
    if left:
        return f"{left}: too many words"
    return _wrong_value(command, context, given)


def _wrong_value(command: Any, context: Any, given: dict[str, Any]) -> str:
    for parameter in command.params:
        value = given.get(parameter.name)
        if parameter.param_type_name == "argument" and parameter.required and not value:
            return f"'{parameter.name}' is missing"
        words = value if isinstance(value, (list, tuple)) else [value]
        if value is None or any(isinstance(word, str) and _PLACEHOLDER.fullmatch(word) for word in words):
            continue
        try:
            parameter.process_value(context, value)
        except Exception as exc:
            return str(getattr(exc, "message", "") or exc)
    return ""


@pytest.mark.parametrize("page", pages())
def test_relative_links_are_real(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", pages())
def test_command_lines_are_real(page: Path) -> None:
    text = page.read_text()
    problems = {line: problem_of(line) for line in typed_lines(text)}
    problems |= {line: problem_of(line, mention=True) for line in mentions(text)}
    assert {line: problem for line, problem in problems.items() if problem} == {}


def test_every_command_has_its_place_in_a_page() -> None:
    command = evolve_command()
    text = (ROOT / "docs/commands.md").read_text()
    named = {line.split()[0] for line in [*typed_lines(text), *mentions(text)] if line}
    assert set(command.commands) - named == set()
    text = (ROOT / "docs/priors.md").read_text()
    named = {line.split()[1] for line in mentions(text) if line.startswith("priors ")}
    assert set(command.commands["priors"].commands) - named == set()


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def default_of(field: Any) -> str:
    """A setting's default as a page writes it."""
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if default is msgspec.NODEFAULT:
        return "required"
    return "none" if default is None else f"`{json.dumps(msgspec.to_builtins(default))}`"


@pytest.mark.parametrize("page", pages())
def test_paths_in_the_project_are_real(page: Path) -> None:
    """A page that names a file or a folder of the project names one that is there."""
    named = [code for code in _INLINE.findall(prose_of(page.read_text())) if _PATH.fullmatch(code)]
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []


def keys_of(kind: type[msgspec.Struct], prefix: str = "") -> dict[str, str]:
    """Each setting with its default; those of a table inside by dotted keys."""
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= keys_of(field.type, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = default_of(field)
    return found


def keys_in(text: str) -> dict[str, str]:
    """Each key with its default, from a table whose rows have both."""
    return dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+?) \|", text, re.MULTILINE))


def test_every_setting_is_listed_with_its_default() -> None:
    page = (ROOT / "docs/settings.md").read_text().partition("## Limits")[2]
    assert keys_in(page) == keys_of(Settings)


def test_every_key_of_a_model_is_listed_with_its_default() -> None:
    page = (ROOT / "docs/models.md").read_text().partition("### Keys of a model")[2]
    assert keys_in(page) == keys_of(ModelSpec)


@pytest.mark.parametrize(
    ("heading", "kind", "in_words"),
    [
        ("key", TaskSpec, {"interface", "limits", "program", "stages"}),
        ("key of `[program]`", ProgramSpec, set()),
        ("key of `[build]`", BuildSpec, set()),
        ("key of `[interface]`", Interface, set()),
        ("key of `[limits]`", Limits, set()),
        ("key of a stage", Stage, set()),
    ],
)
def test_every_key_of_a_task_is_listed_with_its_default(heading: str, kind: Any, in_words: set[str]) -> None:
    page = (ROOT / "docs/writing-a-task.md").read_text()
    listed = keys_in(page.partition(f"\n| {heading} | default |")[2].partition("\n\n")[0])
    wanted = {field.name: default_of(field) for field in msgspec.structs.fields(kind)}
    assert listed == wanted | {key: listed.get(key) for key in in_words}


@pytest.mark.parametrize("page", pages())
def test_blocks_of_toml_are_toml(page: Path) -> None:
    for block in _FENCE.finditer(page.read_text()):
        if block["language"].strip() == "toml":
            tomllib.loads(block["body"])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("run TASK --rounds 3 --set key=value", ""),
        ("show [RUN] [NODE] [--calls]", ""),
        ("", ""),
        ("--runs DIR", ""),
        ("--version", ""),
        ("--ruins DIR", "--ruins"),
        ("priors edit ID --weight 2", ""),
        ("prefer RUN", "no command 'prefer'"),
        ("priors prefer ID", "no command 'prefer'"),
        ("run TASK --round 3", "--round"),
        ("pause RUN now", "['now']: too many words"),
        ("pin RUN", "'node' is missing"),
        ("run TASK --rounds many", "int"),
    ],
)
def test_wrong_command_lines_are_found(line: str, problem: str) -> None:
    found = problem_of(line)
    assert problem in found if problem else not found, found


def test_wrong_links_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A `b` c: d\n\n[good](#a-b-c-d) [web](https://example.org/x#y) [bad](none.md) [worse](#no)\n")
    assert broken_links(page) == ["none.md: there is no such file", "#no: the page has no such heading"]


def test_command_lines_are_found() -> None:
    text = "See `evolve runs` and `evolved`.\n\n```sh\nKEY=… evolve fork a --at 3 && evolve resume b  # go on\n```\n"
    text += "\n```console\n$ evolve show demo\nevolve is not typed here\n```\n"
    assert list(typed_lines(text)) == ["fork a --at 3", "resume b", "show demo"]
    assert list(mentions(text)) == ["runs"]


def test_layers_are_those_of_the_contract() -> None:
    """The table of packages has the layers that import-linter keeps, and every package."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    kept = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    listed: dict[str, set[str]] = {}
    for number, names in re.findall(
        r"^\| (\d+) \| ([^|]+) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    ):
        listed.setdefault(number, set()).update(_INLINE.findall(names))
    assert list(listed.values()) == [set(layer.split(" | ")) for layer in kept]
    packages = {folder.parent.name for folder in ROOT.glob("engine/*/__init__.py")}
    assert packages - {"tasks"} - set().union(*listed.values()) == set()


@pytest.mark.parametrize("page", pages(ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"))
def test_names_in_the_code_are_real(page: Path) -> None:
    """A page that names a class or a private function names one that the code defines."""
    named = {
        name
        for code in _INLINE.findall(prose_of(page.read_text()))
        if re.fullmatch(r"_[a-z]\w*|[A-Z][a-z]\w+(?:\.\w+)?|[A-Z]+_?[A-Z]+", code)
        for name in code.split(".")
    }
    code = "\n".join(file.read_text() for folder in ("engine", "tui") for file in ROOT.glob(f"{folder}/**/*.py"))
    assert named
    assert {
        n for n in named if not re.search(rf"(?:\bclass |\bdef |self\.|^ *){n}\b *[:=(\[]", code, re.MULTILINE)
    } == {"NAME"} & named


@pytest.mark.parametrize("page", pages(ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"))
def test_files_define_the_names_that_pages_place_in_them(page: Path) -> None:
    """`name` in `file` and `file` (see `name`): the name is defined there, not somewhere else."""
    text = " ".join(page.read_text().split())
    placed = re.findall(r"`(?P<name>\w+)` in `(?P<file>(?:engine|tui)/[\w/]+\.py)`", text)
    placed += [(name, file) for file, name in re.findall(r"`((?:engine|tui)/[\w/]+\.py)` \(see `(\w+)`\)", text)]
    assert placed
    for name, file in placed:
        assert re.search(rf"(?:\bclass |\bdef |^){name}\b *[:=(\[]", (ROOT / file).read_text(), re.MULTILINE), (
            f"{file} does not define {name}"
        )


def test_every_picture_is_on_a_page() -> None:
    linked = {
        (page.parent / target).resolve() for page in PAGES for target in _LINK.findall(prose_of(page.read_text()))
    }
    assert not [path.name for path in (ROOT / "docs" / "pictures").glob("*.svg") if path not in linked]
