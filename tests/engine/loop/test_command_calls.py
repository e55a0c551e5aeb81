"""A command that designs: a real program edits a folder, and whatever it does there is a design or a reason."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import RunError, Stopping
from engine.evaluation import errand
from engine.evaluation.outcome import Outcome
from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.loop.command_calls import _Live
from engine.loop.command_record import prompt_of, read_end
from engine.loop.stages.design import Design
from engine.runs.calls import calls_of_run
from engine.runs.folder import Run
from engine.settings.command import CommandSettings
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run
from tests.engine.loop.parts import Parts, open_parts
from tests.engine.loop.test_design import learned_round

EDIT = 'sed -i "s/^X = .*/X = $EVOLVE_SEED.5/" program/program.py'
SECRET = "wonderfully-secret"


def run_of(make_task: TaskMaker, tmp_path: Path, script: str = EDIT, **command: Any) -> Run:
    settings = {"run": ["sh", "-c", script], "seconds": 120, **command}
    return make_run(make_task(), tmp_path / "runs", designer={"name": "command", "attempts": 1}, command=settings)


async def design(parts: Parts, number: int = 1, mode: Any = "diff") -> bool:
    stage = Design(parts.session, parts.designer, parts.models, parts.command_calls)
    made = await stage.run(learned_round(parts, number, mode))
    await parts.session.committed()
    return made


def calls(run: Run) -> list[ev.CallDone]:
    return [event.data for event in events(run, ev.CallDone) if isinstance(event.data, ev.CallDone)]


def rejections(run: Run) -> list[tuple[str, str]]:
    found = [event.data for event in events(run, ev.DesignRejected)]
    return [(data.check, data.reason) for data in found if isinstance(data, ev.DesignRejected)]


BAD = {
    "echo one; echo 'no key' >&2; exit 3": "it ended with exit code 3: no key",
    "true": "it changed nothing in program/",
    "kill -9 $$": "it ended with SIGKILL: it said nothing",
    "echo 1 > program/other.py": "it left program/other.py; the program is the one file program/program.py",
    "ln -s /etc/passwd program/more": "it left a symbolic link, program/more",
    "ln -sf /etc/passwd program/program.py": "it left a symbolic link, program/program.py",
    "mv program old; ln -s old program": "program/ is no folder any more",
    "mkfifo program/pipe": "it left program/pipe, which is neither a file nor a folder",
    "rm program/program.py": "it removed program/program.py; the program must stand there",
    "printf '\\377' > program/program.py": "program/program.py is not UTF-8 text: invalid start byte at byte 0",
    "head -c 300000 /dev/zero > program/program.py": "it left more in program/ than 165,536 bytes or 1,000 files",
    f'{EDIT}; echo \'{{"tokens_in": "many"}}\' > usage.json': (
        "its usage.json cannot be counted: Expected `int`, got `str` - at `$.tokens_in`"
    ),
    f"{EDIT}; echo '{{\"usd\": -1}}' > usage.json": (
        "its usage.json cannot be counted: `usd` must be a number from 0, below 10^12"
    ),
    f"{EDIT}; printf '{{\"tokens_in\": 1%0400d}}' 0 > usage.json": (
        "its usage.json cannot be counted: `tokens_in` must be a number from 0, below 10^12"
    ),
    f"{EDIT}; ln -s /etc/passwd usage.json": "usage.json is no plain file of at most 65,536 bytes",
    f"{EDIT}; mkdir usage.json": "usage.json is no plain file of at most 65,536 bytes",
    "echo '{\"tokens_in\": 9000}' > usage.json; sleep 100": (
        "it took more than 1,000 tokens; command.tokens is the limit"
    ),
    "head -c 70000000 /dev/zero": "the command was ended: output limit of 64 MiB",
    "echo 'X = (' > program/program.py": "line 1",
}


async def test_whatever_a_command_does_wrong_is_a_refused_design_with_its_reason(
    make_task: TaskMaker, tmp_path: Path
) -> None:
    run = run_of(make_task, tmp_path, tokens=1000)
    scripts = {name: ["sh", "-c", name] for name in BAD}
    bad = {**BAD, "gone": "command.run names 'no-such-agent', which is neither on PATH nor a file that can be run"}
    scripts["gone"] = ["no-such-agent"]
    async with open_parts(run) as parts:
        for number, (name, reason) in enumerate(bad.items(), start=1):
            parts.session.emit(ev.SettingsChanged({"command": {"run": scripts[name]}}))
            assert not await design(parts, number)
            assert reason in rejections(run)[-1][1], name
        parts.session.emit(ev.SettingsChanged({"command": {"run": ["sh", "-c", "sleep 100"], "seconds": 0.2}}))
        assert not await design(parts, len(bad) + 1)
        assert parts.session.state.usd == 0 and parts.session.state.tokens == 9000
    assert [check for check, _ in rejections(run)[-3:]] == ["syntax", "designer", "answer"]
    assert rejections(run)[-1][1] == "it took longer than 0.2 s; command.seconds is the limit"
    assert not list(run.work.iterdir())
    with JournalReader(run.db) as reader:
        first = calls_of_run(reader)[0]
        assert (first.outcome, first.reason) == ("no design: answer", "it ended with exit code 3: no key")
        assert first.done is not None and reader.text(first.done.answer_blob) == "one\nno key\n"


@pytest.mark.parametrize("bubblewrap", ["auto", "off"])
async def test_what_a_command_leaves_running_is_ended_and_its_program_counts(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bubblewrap: str
) -> None:
    monkeypatch.setenv("EVOLVE_BUBBLEWRAP", bubblewrap)
    server = "trap '' TERM; (sleep 1000 & sleep 1000 & wait) & touch begun; while :; do sleep 0.1; done"
    left = ("sleep 1000 &", "(setsid sleep 1000 &);", '(setsid sh -c "$0" &); until [ -e begun ]; do sleep 0.1; done;')
    run = run_of(make_task, tmp_path)
    async with open_parts(run) as parts:
        for number, script in enumerate(left, start=1):
            command = ["sh", "-c", f"{script} {EDIT}; sed -i 's/^Y = .*/Y = {number}.5/' program/program.py", server]
            parts.session.emit(ev.SettingsChanged({"command": {"run": command}}))
            assert await design(parts, number), rejections(run)
            assert f"Y = {number}.5" in parts.session.text(parts.session.state.nodes[number].program)


def test_processes_that_start_and_end_without_pause_are_ended() -> None:
    script = (
        "import ctypes, subprocess; from evolve_errand import _end_children;"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0);"
        "subprocess.Popen(['sh', '-c', 'while :; do (true &); done']);"
        "print(_end_children(0.2, 60.0))"
    )
    folder = Path(errand.__file__).parent  # from which the harness imports it
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True, timeout=90
    )
    assert done.stdout == "True\n"


def test_what_is_told_in_no_known_form_is_a_reason_and_no_error() -> None:
    head = '{"code": 0, "ended": "", "running": false, "problem": "", "files": {}'
    nested = f'{head}, "more": {"[" * 100_000}{"]" * 100_000}}}'
    for forged in (nested, f'{head}, "notes": "?"}}', "[]", "", '{"code": 0}'):
        outcome = Outcome("ok", 0.0, {}, "", "guarded", "bubblewrap", 1.0, 1.0, 1.0, b"", b"", built=forged)
        ended = read_end(outcome, lambda files: "X = 1", CommandSettings(run=["true"]), {})
        assert ended.left.problem == "what it left was not told in a form that can be read" and not ended.left.code


def test_what_is_recorded_of_a_large_folder_is_bounded() -> None:
    files = {f"program/{number:03}.py": b"x" * 200_000 for number in range(100)}
    recorded = prompt_of({**files, "README.md": b"do it", "program/long.py": b"x" * 300_000})
    told = {message["role"]: message["content"] for message in json.loads(recorded)["messages"]}
    assert next(iter(told)) == "README.md" and len(told) == 102 and len(recorded) < 1_100_000
    assert told["program/099.py"] == "(200,000 bytes)" and told["program/long.py"] == "(300,000 bytes)"


def test_secret_is_hidden_while_it_is_printed_in_pieces_and_colours() -> None:
    shown: list[str] = []
    session: Any = SimpleNamespace(live=lambda kind, round_, row: shown.append(json.loads(row)["text"]))
    live = _Live(session, 1, {}, {"AGENT_KEY": SECRET})
    pieces = (
        "a wonder",
        "fully\033[01;31m\033[K-sec\033[m\033",
        "[Kr",
        "et b \033]0;ti",
        "tle\007wonder\033[",
        "1mfully-secret\n",
    )
    for piece in pieces:
        live.add("stdout", piece, 0)
    live.add("stdout", "c\n", 7)
    assert "".join(shown) == "a *** b ***\n\n… 7 bytes left out …\nc\n"


@pytest.mark.needs("bubblewrap")
async def test_folder_holds_all_that_is_known_and_the_transcript_is_recorded(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KEY", SECRET)
    monkeypatch.setenv("OTHER_KEY", "another-secret-of-mine")
    (tmp_path / "mine").write_text("my diary")
    run = run_of(make_task, tmp_path, environment=["AGENT_KEY"])
    script = (
        'printf \'\\033[1mkey %s\\033[0m %s\\r\\n\' "$AGENT_KEY" "$OTHER_KEY"; find . -type f | sort; cat failures.md;'
        f" cat > /dev/null; head -1 brief.md; touch /etc/x || touch /usr/x; cat {tmp_path}/mine; cat {run.db}; {EDIT};"
        "mkdir program/__pycache__ program/.git; echo x > program/__pycache__/a.pyc;"
        "printf '# a far step\\nIt is nearer.\\n' > notes.md;"
        'echo \'{"tokens_in": 120, "tokens_cached": 20, "tokens_out": 30, "usd": 0.25}\' > usage.json'
    )
    async with open_parts(run) as parts:
        parts.session.emit(ev.SettingsChanged({"command": {"run": ["sh", "-c", script]}}))
        parts.session.emit(ev.Injected("hint", text="try far away"))
        assert await design(parts)
        node, state = parts.session.state.nodes[1], parts.session.state
        assert (node.name, node.motivation, node.operator) == ("a far step", "It is nearer.", "diff")
        assert (state.tokens, state.usd) == (150, 0.25)
        done, started = calls(run)[0], events(run, ev.CallStarted)[0].data
        assert isinstance(started, ev.CallStarted)
        assert (done.priced, done.tokens_cached, done.model, started.command[0]) == (True, 20, "command:sh", "sh")
        said = parts.session.text(done.answer_blob)
        prompt = json.loads(parts.session.text(started.prompt_blob))["messages"]
    # Harmless, and without the key; the variable that is not named did not reach it.
    assert said.startswith("key *** \n")
    files = ["./README.md", "./brief.md", "./failures.md", "./lessons.md", "./program/program.py"]
    assert "\n".join([*files, "There is nothing to tell yet.", "Move the point to (3, 1)."]) in said
    assert "my diary" not in said and "cannot touch '/usr/x'" in said and said.count("No such file") == 2
    told = {message["role"]: message["content"] for message in prompt}
    assert "try far away" in told["lessons.md"] and "There is no network." in told["README.md"]
    assert told["program/program.py"].startswith('"""A point')
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


async def test_program_with_a_secret_is_refused(
    make_task: TaskMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KEY", SECRET)
    run = run_of(make_task, tmp_path, 'echo "# $AGENT_KEY" >> program/program.py', environment=["AGENT_KEY"])
    async with open_parts(run) as parts:
        assert not await design(parts)
        parts.session.emit(ev.SettingsChanged({"command": {"environment": ["UNSET_KEY"]}}))
        assert not await design(parts, 2)
    assert [reason for _, reason in rejections(run)] == [
        "its program holds the value of AGENT_KEY",
        "command.environment names UNSET_KEY, which the engine's environment lacks",
    ]


async def test_home_and_temporary_files_lie_apart_from_the_folder(make_task: TaskMaker, tmp_path: Path) -> None:
    look = (
        "import json, os, pathlib, tempfile; home, spare = pathlib.Path.home(), pathlib.Path(tempfile.mkdtemp());"
        "(home / '.settings').touch(); print(json.dumps([os.environ['PWD'], os.getcwd(), str(home), str(spare)]))"
    )
    run = run_of(make_task, tmp_path)
    async with open_parts(run) as parts:
        parts.session.emit(ev.SettingsChanged({"command": {"run": [sys.executable, "-c", look]}}))
        assert not await design(parts)
        said, folder, home, spare = map(Path, json.loads(parts.session.text(calls(run)[0].answer_blob)))
    assert said == folder
    # An agent may look for settings in every folder above, and refuse to keep its own among temporary files.
    for one, other in ((folder, home), (home, folder), (spare, home), (spare, folder), (home, spare.parent)):
        assert not one.is_relative_to(other)


async def test_what_a_command_said_that_it_cost_counts_if_a_limit_ends_it(make_task: TaskMaker, tmp_path: Path) -> None:
    fill = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    told = 'echo \'{"tokens_in": 700, "tokens_out": 30}\' > usage.json'
    run = run_of(make_task, tmp_path, f"{told}; sleep 1.5; python3 -c '{fill}'", memory_mb=200)
    async with open_parts(run) as parts:
        assert not await design(parts)
        assert parts.session.state.tokens == 730 and parts.session.state.told == {}
    assert rejections(run)[0][1] == "the command was ended: memory limit of 200 MiB; command.memory_mb is the limit"


async def test_network_is_closed_unless_a_setting_opens_it(make_task: TaskMaker, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ask = f"import socket; socket.create_connection(('127.0.0.1', {port})).sendall(b'x'); print('reached')"
        unix = "import socket; socket.socket(socket.AF_UNIX)"
        run = run_of(make_task, tmp_path, "true")
        async with open_parts(run) as parts:
            for number, (network, code) in enumerate(((False, ask), (True, ask), (True, unix)), start=1):
                change = {"run": [sys.executable, "-c", code], "network": network}
                parts.session.emit(ev.SettingsChanged({"command": change}))
                assert not await design(parts, number)
            said = [parts.session.text(done.answer_blob).strip().splitlines()[-1] for done in calls(run)]
    assert said[0].startswith(("ConnectionRefusedError", "PermissionError")) and said[1] == "reached"
    assert said[2].startswith("PermissionError")


async def test_stop_and_freeze_reach_a_command_and_a_recorded_one_is_not_run_again(
    make_task: TaskMaker, tmp_path: Path
) -> None:
    run = run_of(make_task, tmp_path, 'echo \'{"tokens_in": 70, "usd": 0.5}\' > usage.json; echo began; sleep 1000')
    async with open_parts(run) as parts:
        task = asyncio.create_task(design(parts))
        while not streamed(run) or not parts.session.state.told:
            await asyncio.sleep(0.05)
        assert streamed(run)[0]["text"] == "began\n"
        parts.scheduler.pause(now=True)
        assert parts.scheduler.running == 1
        parts.scheduler.stop("enough", now=True)
        with pytest.raises(Stopping):
            await task
        assert parts.session.state.open_rounds[1].rejected == []
    assert [(done.fault, done.error) for done in calls(run)] == [("stopped", "the engine ended before the command did")]
    assert [(done.tokens_in, done.usd, done.priced) for done in calls(run)] == [(70, 0.5, True)]
    async with open_parts(run) as parts:
        parts.session.emit(ev.SettingsChanged({"command": {"run": ["sh", "-c", EDIT]}}))
        round_ = parts.session.state.open_rounds[1]
        stage = Design(parts.session, parts.designer, parts.models, parts.command_calls)
        candidate = await parts.designer.design(stage._context.request(round_))
    async with open_parts(run) as parts:
        # As after kill -9 between the end of the command and the node.
        parts.session.emit(ev.SettingsChanged({"command": {"run": ["no-such-agent"]}}))
        stage = Design(parts.session, parts.designer, parts.models, parts.command_calls)
        assert await stage.run(parts.session.state.open_rounds[1])
        assert parts.session.text(parts.session.state.nodes[1].program) == candidate.code
    assert len(calls(run)) == 2


def streamed(run: Run) -> list[dict[str, Any]]:
    with JournalReader(run.db) as reader:
        return [row.data for row in reader.live_after(0) if row.kind == "stream"]


async def test_program_may_be_a_folder_of_another_language(make_task: TaskMaker, tmp_path: Path) -> None:
    task = make_task()
    (task / "seed.py").unlink()
    (task / "seed").mkdir()
    (task / "seed/point.c").write_text('#include "point.h"\nint point(void) { return X; }\n')
    (task / "seed/point.h").write_text("#define X 1\n")
    (task / "seed/Makefile").write_text("all: ;\n")
    table = '[program]\nlanguage = "c"\nfiles = ["*.c", "*.h"]\neditable = ["*.c"]\n\n[interface]\n'
    (task / "task.toml").write_text((task / "task.toml").read_text().replace("[interface]\n", table))
    scripts = [
        "echo >> program/Makefile",
        "echo '#define Y 2' >> program/point.h",
        "echo x > program/a.txt",
        "test -e program/Makefile && sed -i 's/return X/return X + 1/' program/point.c",
    ]
    run = make_run(
        task, tmp_path / "runs", designer={"name": "command", "attempts": 1}, command={"run": ["sh", "-c", "true"]}
    )
    async with open_parts(run) as parts:
        for number, script in enumerate(scripts, start=1):
            parts.session.emit(ev.SettingsChanged({"command": {"run": ["sh", "-c", script]}}))
            assert await design(parts, number) == (number == 4)
        made = parts.session.text(parts.session.state.nodes[1].program)
    assert "// ==== FILE: point.c ====" in made and "return X + 1" in made and "Makefile" not in made
    assert [reason.partition(";")[0] for _, reason in rejections(run)] == [
        "it changed program/Makefile, which must stay as it is",
        "it changes the file point.h",
        "the file a.txt is not one of *.c, *.h",
    ]


async def test_what_a_command_left_is_given_again_without_running_it(make_task: TaskMaker, tmp_path: Path) -> None:
    first = run_of(make_task, tmp_path)
    async with open_parts(first) as parts:
        assert await design(parts)
    again = {"run": ["no-such-agent"], "seconds": 120}
    settings = {"designer": {"name": "command", "attempts": 1}, "command": again, "answers": str(first.folder)}
    second = make_run(tmp_path / "tasks/point", tmp_path / "again", **settings)
    async with open_parts(second) as parts:
        assert await design(parts)
        # Its calls are read once, not once for each design.
        first.db.rename(tmp_path / "elsewhere.db")
        with pytest.raises(RunError, match="holds nothing that a command left for the folder of round 2"):
            await design(parts, 2, "full")
        (tmp_path / "elsewhere.db").rename(first.db)
    programs = [[event.data.program for event in events(run, ev.DesignDone)] for run in (first, second)]  # type: ignore[attr-defined]
    assert programs[0] == programs[1] and calls(second)[0].replayed
