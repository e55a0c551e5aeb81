"""The comparison with other systems: what is asked of all, how it is counted, what a peer's files hold, the table."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.cli.bench import load_bench
from engine.errors import EvolveError, UsageError
from engine.evaluation.cgroups import find_cgroups
from engine.llm.answers import parse_program
from tests.bench.peers import state, task
from tests.bench.peers import tree as tree_module
from tests.bench.peers.group import Group, make_group
from tests.bench.peers.measure import Costs, Loss, measure
from tests.bench.peers.sides import OpenEvolve, Ours, Shinka, sides_of
from tests.bench.peers.table import matrix, rows_of
from tests.bench.peers.tree import Tree
from tests.conftest import Evolve

FAKE_PEER = """\
#!{python}
import json, pathlib, sys, urllib.request
sys.path.insert(0, ".")
from evaluate import evaluate

initial, _, _, config, _, output, _, rounds = sys.argv[1:]
llm = json.loads(pathlib.Path(config).read_text())["llm"]
evaluate(initial)
programs = {{"seed": {{"parent_id": None}}}}
for number in range(1, int(rounds) + 1):
    body = {{"model": llm["primary_model"], "messages": [{{"role": "user", "content": "x" * 400}}]}}
    request = urllib.request.Request(llm["api_base"] + "/chat/completions", json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        text = json.load(answer)["choices"][0]["message"]["content"]
    if "{fault}":
        sys.exit("{fault}")
    pathlib.Path("candidate.py").write_text(text.split("```python\\n")[1].split("```")[0])
    evaluate("candidate.py")
    programs[str(number)] = {{"parent_id": "seed"}}
    if number % 3 == 0:
        folder = pathlib.Path(output, "checkpoints", "checkpoint_" + str(number))
        (folder / "programs").mkdir(parents=True)
        for name, program in programs.items():
            (folder / "programs" / (name + ".json")).write_text(json.dumps(program))
        (folder / "metadata.json").write_text(json.dumps({{"last_iteration": number}}))
"""


def fake_environment(folder: Path, package: str, command: str, fault: str = "") -> Path:
    """Make a folder that has what is looked for in a peer's environment; the command works as OpenEvolve's does."""
    (folder / "lib" / "python3" / "site-packages" / f"{package}-0.1.dist-info").mkdir(parents=True)
    (folder / "bin").mkdir()
    script = folder / "bin" / command
    script.write_text(FAKE_PEER.format(python=sys.executable, fault=fault))
    script.chmod(0o755)
    return folder


@pytest.fixture
def openevolve(tmp_path: Path) -> Path:
    return fake_environment(tmp_path / "oe", "openevolve", "openevolve-run")


def test_answer_is_read_as_it_was_meant() -> None:
    read = [parse_program(task.answer(call)) for call in (1, 2, 900)]
    assert [design.name for design in read] == ["step_1", "step_2", "step_900"]
    assert len({design.code for design in read}) == 3
    assert all(len(design.code.splitlines()) == len(task.SEED.splitlines()) for design in read)
    assert task.answer(7) == task.answer(7)


def test_evaluators_of_peers_agree(tmp_path: Path) -> None:
    (tmp_path / "seed.py").write_text(task.SEED)
    scores = []
    for kind in ("within", "apart"):
        path = tmp_path / kind / "evaluate.py"
        path.parent.mkdir()
        path.write_text(task.evaluator(kind))
        spec = importlib.util.spec_from_file_location(f"evaluate_{kind}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        began = time.time()
        scores.append(module.evaluate(str(tmp_path / "seed.py"))["combined_score"])
        first = float(path.with_name("first").read_text())
        assert began <= first <= time.time()
        module.evaluate(str(tmp_path / "seed.py"))
        assert float(path.with_name("first").read_text()) == first, "only the first evaluation notes its time"
    (tmp_path / "command.py").write_text(task.evaluator("command"))
    command = [sys.executable, str(tmp_path / "command.py"), "--program_path", str(tmp_path / "seed.py")]
    subprocess.run([*command, "--results_dir", str(tmp_path / "results")], check=True)
    scores.append(json.loads((tmp_path / "results" / "metrics.json").read_text())["combined_score"])
    assert scores[0] < 0.0
    assert scores == [scores[0]] * 3


def test_checkpoint_that_is_half_written_does_not_count(tmp_path: Path) -> None:
    assert state.openevolve_state(tmp_path) == (0, 0)
    for number, programs, metadata in [(9, 5, '{"last_iteration": 9}'), (10, 8, '{"last_itera'), (100, 9, None)]:
        folder = tmp_path / "checkpoints" / f"checkpoint_{number}" / "programs"
        folder.mkdir(parents=True)
        for program in range(programs):
            parent = "seed" if program else None
            (folder / f"{program}.json").write_text(json.dumps({"parent_id": parent}))
        if metadata is not None:
            (folder.parent / "metadata.json").write_text(metadata)
    assert state.openevolve_state(tmp_path) == (9, 4)


def test_generations_of_a_database_are_counted(tmp_path: Path) -> None:
    assert state.shinka_programs(tmp_path) == 0
    with closing(sqlite3.connect(tmp_path / "programs.sqlite")) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE other (id)")
        assert state.shinka_programs(tmp_path) == 0
        database.execute("CREATE TABLE programs (id, generation)")
        # Each island has the initial program.
        database.executemany("INSERT INTO programs VALUES (?, ?)", [("a", 0), ("b", 0), ("c", 1), ("d", 3)])
        database.commit()
    assert state.shinka_programs(tmp_path) == 2
    for generation in range(3):
        results = tmp_path / f"gen_{generation}" / "results"
        results.mkdir(parents=True)
        (results / "metrics.json").write_text("{}")
    (tmp_path / "gen_3").mkdir()
    assert state.shinka_measured(tmp_path) == 2


BURN = "import time\nwhile time.process_time() < {seconds}: pass\n"


def no_group() -> None:
    return None


@pytest.mark.parametrize(
    "counts",
    [pytest.param(make_group, id="cgroup", marks=pytest.mark.needs("cgroup")), pytest.param(no_group, id="none")],
)
def test_cpu_of_children_and_of_orphans_counts(
    counts: Callable[[], Group | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, orphan = BURN.format(seconds=0.1), BURN.format(seconds=0.1) + "open('burnt', 'w').close()\ntime.sleep(600)"
    main = (
        "import pathlib, signal, subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {child!r}])\n"
        f"middle = 'import subprocess, sys; subprocess.Popen([sys.executable, \"-c\", sys.argv[1]])'\n"
        f"subprocess.run([sys.executable, '-c', middle, {orphan!r}])\n"
        "while not pathlib.Path('burnt').exists(): time.sleep(0.01)\n"
        # Nobody waits for this one, as for those that end with their PID namespace.
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"unseen = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "while pathlib.Path(f'/proc/{unseen.pid}').exists(): time.sleep(0.01)\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(600)\n"
    )
    monkeypatch.setattr(tree_module, "make_group", counts)
    with Tree() as tree, (tmp_path / "log").open("wb") as log:
        tree.start([sys.executable, "-c", main], tmp_path, dict(os.environ), log)
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists():
            assert tree.running() and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.01)
        mark = tree.mark()
        assert mark.cpu > mark.main_cpu + (0.15 if tree.group is None else 0.29)
        assert mark.main_cpu > 0.0
        assert tree.peak_mb > 1.0
        tree.kill_main()
        tree.end()
        assert tree.main is not None and tree.main.returncode == -9
    left = [path for path in Path("/proc").glob("[0-9]*/cwd") if _points_to(path, tmp_path)]
    assert left == [], "an orphan is left"


@pytest.mark.needs("cgroup")
def test_group_of_either_version_counts_and_goes() -> None:
    burn = [sys.executable, "-c", BURN.format(seconds=0.05)]
    for hierarchy, version in (("cpuacct", "v1"), ("unified", "v2")):
        parent = find_cgroups().parents.get(hierarchy)
        if parent:
            before = {path.name for path in Path(parent).glob("bench-*")}
            group = Group(Path(parent), version)
            subprocess.run(group.start_in(burn), check=True)
            assert group.cpu() >= 0.05
            group.remove()
            assert {path.name for path in Path(parent).glob(f"bench-{os.getpid()}-*")} <= before


def _points_to(link: Path, folder: Path) -> bool:
    try:
        return link.readlink() == folder
    except OSError:
        return False


COSTS = Costs(
    cpu_ms=40.0, main_ms=10.0, wall_ms=50.0, growth=1.5, main_growth=None, tokens=1500.0, calls=1.0, disk_kb=5.0,
    written_kb=None, memory_mb=70.0, start_s=1.0, kept=0.7, counted_by="cgroup v1",
)  # fmt: skip


def test_table_has_ratios_to_the_first_peer() -> None:
    ours = [Costs(**{**vars(COSTS), "cpu_ms": value, "kept": 1.0}) for value in (20.0, 24.0, 70.0)]
    costs = {"ours guarded": ours, "openevolve subprocess": [COSTS] * 3}
    rows = rows_of(costs, {"ours guarded": Loss(74, 0), "openevolve subprocess": Loss(74, 74)})
    assert set(rows[0]) == {"name", "side", "value", "unit", "budget", "note", "ratio", "runs"}
    cpu = rows[0]
    assert (cpu["value"], cpu["ratio"], cpu["runs"], cpu["budget"]) == (24.0, 0.6, [20.0, 24.0, 70.0], "≤ 1.0×")
    assert cpu["note"] == "counted by cgroup v1"
    columns, lines = matrix(rows)
    assert columns == ["what", "unit", "ours guarded", "openevolve subprocess", "spread", "aim"]
    cells = {line[0]: line[1:] for line in lines}
    assert cells["CPU a round, all processes"] == ["ms", "24 (0.60×)", "40", "208%", "ours guarded ≤ 1.0×"]
    assert cells["tokens of prompts a round"][1:3] == ["1,500 (1.00×)", "1,500"]
    assert cells["the same, CPU of the main process"][1:3] == ["-", "-"], "what was not measured is no number"
    assert cells["programs that the files hold at the end"][1:3] == ["100 (1.43×)", "70"]
    assert cells["rounds lost by a SIGKILL"][1:3] == ["0 of 74", "74 of 74"]


def test_ours_and_theirs_take_turns(tmp_path: Path, openevolve: Path) -> None:
    shinka = fake_environment(tmp_path / "sh", "shinka_evolve", "shinka_run")
    sides, versions = sides_of(f"openevolve={openevolve},shinka={shinka}")
    assert [type(side) for side in sides] == [Ours, OpenEvolve, Ours, OpenEvolve, Shinka]
    assert versions == ["openevolve 0.1", "shinka 0.1"]
    assert [side.name for side in sides_of(None)[0]] == ["ours guarded", "ours open"]
    assert [side.name for side in sides_of(f"shinka={shinka}")[0]] == ["ours guarded", "shinka", "ours open"]


def test_wrong_peer_is_one_sentence(tmp_path: Path, openevolve: Path, evolve: Evolve) -> None:
    for against, said in {
        "openevolve": "'openevolve' is not a peer with its environment",
        "gepa=/venv": "there is no peer 'gepa'",
        f"openevolve={openevolve},openevolve={openevolve}": "the peer 'openevolve' is named twice",
        f"shinka={tmp_path}": "is no virtual environment that has shinka-evolve with its command shinka_run",
    }.items():
        with pytest.raises(UsageError, match=said):
            sides_of(against)
    done = evolve("bench", "peers", "--against", f"openevolve={tmp_path}")
    assert done.code == 2
    assert done.err.splitlines()[1:] and "Traceback" not in done.err
    assert f"error: {tmp_path} is no virtual environment that has openevolve" in done.err
    assert "--rounds and --repeats are for searches" in evolve("bench", "kernels", "--rounds", 9).err


def test_peer_that_ends_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    broken = fake_environment(tmp_path / "oe", "openevolve", "openevolve-run", fault="no such setting")
    side = OpenEvolve("openevolve in-process", broken, apart=False)
    (tmp_path / "run").mkdir()
    with pytest.raises(EvolveError, match="ended with code 1 after 1 of 4 requests: no such setting"):
        measure(side, tmp_path / "run", 4)


def test_ours_and_a_peer_are_measured(tmp_path: Path, openevolve: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOLVE_BENCH_DIR", str(tmp_path))
    bench = load_bench("peers")
    sides = [Ours("ours open", guarded=False), OpenEvolve("openevolve in-process", openevolve, apart=False)]
    monkeypatch.setattr(bench, "sides_of", lambda against: (sides, []))
    rows = bench.main(False, None, rounds=3, repeats=1)
    assert list(tmp_path.glob("evolve-bench-*")) == []
    value = {(row["name"], row["side"]): row["value"] for row in rows}
    ours, theirs = (side.name for side in sides)
    for side in (ours, theirs):
        assert value["CPU a round, all processes", side] > 0.0
        assert value["wall clock a round", side] > 0.0
        assert value["command to first evaluation", side] > 0.0
        assert value["files at the end, by round", side] > 0.0
        assert value["most memory of the main process", side] > 1.0
        assert value["programs that the files hold at the end", side] == 100.0
        assert value["last tenth of the rounds over the first, CPU of all", side] is None
    assert value["tokens of prompts a round", theirs] == 100.0
    assert value["tokens of prompts a round", ours] > 500.0
    assert (value["calls of the model a round", theirs], value["calls of the model a round", ours]) == (1.0, 7 / 3)
    # Killed at the second request, before the first checkpoint.
    assert (value["rounds lost by a SIGKILL", ours], value["rounds lost by a SIGKILL", theirs]) == (0.0, 1.0)
    assert all(len(line) == 6 for line in bench.matrix(rows)[1])
