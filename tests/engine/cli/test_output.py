"""Output in encodings that lack signs, and error messages for undecodable names."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.calls import print_calls
from engine.cli.output import plain, prepare_streams
from tests.conftest import COMMAND, Evolve, TaskMaker
from tests.needs import leave_out, require

SAMPLES = Path(__file__).parents[3] / "sample_runs"
RUN = SAMPLES / "circle_packing_mixed"
BROKEN = os.fsdecode(b"caf\xe9")


def printed(encoding: str, *words: object) -> bytes:
    """Return what a command writes to stdout in an encoding; it must succeed."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


READING = [
    ["show", RUN], ["show", RUN, 16, "--calls"], ["runs", "--runs", SAMPLES], ["events", RUN], ["best", RUN],
    ["diff", RUN, 16], ["compare", RUN, SAMPLES / "circle_packing_llm"], ["tasks"], ["--help"],
]  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "words"),
    [*(("ascii", words) for words in READING), *(("iso8859-1", words) for words in READING[:2])],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_every_command_works_in_every_encoding(encoding: str, words: list[object]) -> None:
    text = printed(encoding, *words)
    # Programs are UTF-8 in every encoding.
    text.decode("utf-8" if words[0] == "best" else encoding)


def test_missing_signs_become_ascii_and_columns_stay_aligned() -> None:
    lines = printed("ascii", "show", RUN).decode("ascii").splitlines()
    assert "?" not in "".join(lines)
    assert any(line.startswith("best path 0 -> ") for line in lines)
    head = next(line for line in lines if line.startswith("node "))
    rows = lines[lines.index(head) + 1 :]
    assert all(row[head.index("status") - 1] == " " and row[head.index("status")] != " " for row in rows), rows


def test_json_keeps_all_characters_in_every_encoding() -> None:
    assert json.loads(printed("ascii", "show", RUN, "--json")) == json.loads(printed("utf-8", "show", RUN, "--json"))


def test_program_is_printed_as_same_bytes_in_every_encoding(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    task = make_task(seed='"""Über π."""\n\n\ndef point():\n    return [1.0, 1.0]\n')
    assert evolve("run", task, "--headless", "--rounds", 0, "--name", "r", "--runs", tmp_path).code == 0
    assert printed("ascii", "best", tmp_path / "r") == (task / "seed.py").read_bytes()


@given(st.text())
def test_any_text_can_be_printed_in_ascii(text: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    before, sys.stdout = sys.stdout, stream
    try:
        prepare_streams()
        assert plain(text).isascii()
        print(text, end="")
        stream.flush()
        assert stream.buffer.getvalue().decode("ascii") == plain(text)  # type: ignore[attr-defined]
    finally:
        sys.stdout = before


@pytest.mark.parametrize(
    "words",
    [
        ["run", BROKEN], ["runs", "--runs", BROKEN], ["best", "-o", BROKEN], ["inject", "r", "--program", BROKEN],
        ["priors", "add", BROKEN], ["export", "-o", f"{BROKEN}.html"], ["check", BROKEN], ["new", BROKEN],
        ["resume", "--task", BROKEN], ["priors", "list", "--task", BROKEN],
    ],
    ids=lambda words: " ".join(words[:-1]),
)  # fmt: skip
def test_undecodable_name_is_reported_in_one_sentence(evolve: Evolve, words: list[str]) -> None:
    done = subprocess.run([*COMMAND, *words], capture_output=True, check=False)
    told = done.stderr.decode().splitlines()
    assert (done.returncode, len(told)) == (2, 1), told
    assert told[0].startswith("error: 'caf\\xe9")
    assert "not valid UTF-8" in told[0]


def test_undecodable_workspace_or_current_folder_is_reported_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / BROKEN
    folder.mkdir()
    for here, home in ((folder, tmp_path), (tmp_path, folder)):
        done = subprocess.run(
            [*COMMAND, "runs"], capture_output=True, check=False, cwd=here,
            env={**os.environ, "EVOLVE_HOME": str(home), "PYTHONPATH": str(SAMPLES.parent)},
        )  # fmt: skip
        told = done.stderr.decode().splitlines()
        assert (done.returncode, len(told)) == (2, 1), told
        assert "caf\\xe9' is not valid UTF-8" in told[0]


def test_undecodable_file_name_in_task_is_reported_before_anything_runs(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    task = make_task()
    (task / BROKEN).touch()
    done = evolve("run", task, "--headless", "--runs", tmp_path / "runs")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "holds 'caf\\xe9', whose name is not valid UTF-8" in done.err
    assert not any((tmp_path / "runs").iterdir())
    checked = evolve("check", task)
    assert checked.code == 2
    assert "FAIL  caf\\xe9: its name is not valid UTF-8" in checked.out


def test_run_in_undecodable_folder_is_left_out_of_lists_with_warning(
    make_task: TaskMaker, evolve: Evolve, tmp_path: Path
) -> None:
    evolve("run", make_task(), "--headless", "--rounds", 0, "--name", "good", "--runs", tmp_path / "runs")
    (tmp_path / "runs" / "good").rename(tmp_path / "runs" / BROKEN)
    evolve(
        "run", tmp_path / "tasks" / "point", "--headless", "--rounds", 0, "--name", "good", "--runs", tmp_path / "runs"
    )
    listed = evolve("runs", "--json", "--runs", tmp_path / "runs")
    assert [entry["name"] for entry in listed.json] == ["good"]
    assert "caf\\xe9/run.db' is not valid UTF-8" in listed.err
    assert evolve("show", "--json", "--runs", tmp_path / "runs").json["name"] == "good"


def test_too_long_name_is_reported_in_one_sentence(evolve: Evolve, tmp_path: Path) -> None:
    long = "a" * 5000
    for words in (["show", long], ["run", long], ["runs", "--runs", long], ["check", long]):
        done = evolve(*words)
        assert done.code in (1, 2), done
        assert done.err.startswith("error: ")
        assert "Traceback" not in done.err
        assert "File name too long" in done.err


@pytest.fixture(scope="module")
def latin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build a locale with the encoding ISO-8859-1 and return its environment."""
    require("localedef")
    folder = tmp_path_factory.mktemp("locale")
    # It warns about the locale's source and returns 1.
    subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")], check=False)
    variables = {**os.environ, "LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1"}
    asked = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    if subprocess.run(asked, capture_output=True, text=True, check=True, env=variables).stdout.strip() != "iso8859-1":
        leave_out("needs the sources of locales")
    return variables


def test_run_works_in_locale_that_cannot_encode_names(
    make_task: TaskMaker, tmp_path: Path, latin: dict[str, str]
) -> None:
    """Evaluations run without the locale and still find their files."""
    folder = tmp_path / "π-café"
    command = [*COMMAND, "run", str(make_task()), "--headless", "--trust", "--rounds", "1", "--name", "r"]
    command += ["--runs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False, env=latin)
    assert done.returncode == 0, done.stderr
    assert "?-café/r/best.py".encode("iso8859-1") in done.stdout
    renamed = [*COMMAND, "rename", str(folder / "r"), "größer".encode("iso8859-1")]
    subprocess.run(renamed, check=True, env=latin, capture_output=True)
    assert (folder / "größer" / "run.db").is_file()
    (tmp_path / BROKEN).mkdir()
    refused = subprocess.run([*COMMAND, "run", BROKEN], capture_output=True, check=False, env=latin, cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1), refused.stderr
    assert b"'caf\\xe9' is not valid UTF-8" in refused.stderr


def test_messages_that_begin_as_in_the_last_call_are_printed_from_where_they_differ(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def call(number: int, *lines: str) -> dict[str, Any]:
        entry = {"call": number, "role": "researcher", "model": "m", "key": "design/0", "running": True, "tries": []}
        messages = [
            {"role": "system", "content": "Short."},
            {"role": "user", "content": "\n".join(["one", "two", "three", "four", "five", *lines])},
        ]
        return entry | {"brief": False, "prompt_tokens": 7, "command": None, "messages": messages}

    print_calls([call(1, "first"), call(2, "second"), call(3, "second")])
    printed = capsys.readouterr().out
    assert printed.count("--- system\nShort.\n") == 3
    assert "--- user\none\ntwo\nthree\nfour\nfive\nfirst\n" in printed
    assert "--- user (5 lines as in call 1)\nsecond\n" in printed
    assert printed.endswith("--- user (6 lines as in call 2)\n")
