"""Tasks that are evaluated in containers, with a `docker` that runs what is in its images on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.errors import TaskError
from engine.runs.reach import CONTAINERS, reach_of_task
from engine.settings.model import Settings
from engine.task.load import load_task
from engine.task.spec import Container

from .folders import evaluate, write_folder

SKYDISCOVER = {
    "initial_program.py": "X = 2.5\n",
    "config.yaml": "prompt:\n  system_message: Write a number.\nevaluator:\n  timeout: 60\n",
    "evaluator/Dockerfile": "FROM scratch\n",
    "evaluator/evaluate.sh": (
        '#!/bin/sh\n[ "$2" = train ] || exit 1\necho checked >&2\n'
        f"exec {sys.executable} -c 'import json, runpy, sys\n"
        'x = runpy.run_path(sys.argv[1])["X"]\n'
        'if x > 100: raise SystemExit("too large")\n'
        'print(json.dumps({"status": "success", "combined_score": -abs(x - 3), "metrics": {"x": x, "name": "a"},'
        '"artifacts": {"hint": "go up"}}))\' "$1"\n'
    ),
}
HARBOR = {
    "task.toml": '[metadata]\ndifficulty = "easy"\n[verifier]\ntimeout_sec = 45.0\n',
    "instruction.md": "Write `/app/answer.py`.\n",
    "environment/Dockerfile": "FROM scratch\nWORKDIR /app\n",
    "tests/test.sh": (
        "#!/bin/sh\necho output of the tests\n"
        "cd $ROOT/logs/verifier\n"
        'grep -q "X = 3" $ROOT/app/answer.py && echo \'{"reward": 0.75, "speed": 2}\' > reward.json\n'
        "exit 1\n"
    ),
    "solution/solve.sh": "cd /app\ncat > answer.py <<E\nX = 3\nE\n",
}
DOCKER = r"""#!/bin/sh
# A container is a folder here; paths in scripts and arguments lead into it.
home=$(dirname "$0")
echo "$*" >> "$home/log"
verb=$1
for last; do :; done
case $verb in
    image) [ -d "$home/image" ] ;;
    build) cp -r "$last" "$home/image" ;;
    ps) cd "$home" && ls -d evolve-*-*; true ;;
    create)
        while [ "$1" != --name ]; do shift; done
        box=$home/$2
        mkdir -p "$box/tmp" "$box/app"
        cp -r "$home/image" "$box/benchmark"
        while [ "$1" != -c ]; do shift; done
        parts="s#/(benchmark|tests|logs)#$box/\\1#g; s/kill -s KILL -- -1/true/"
        echo "$2" | sed -E "$parts" > "$box/script"
        echo "$3" > "$box/argument" ;;
    cp) tar x -C "$home/${3%:/}" ;;
    start)
        export ROOT="$home/$last"
        exec sh -c "$(cat "$ROOT/script")" "$ROOT$(cat "$ROOT/argument")" ;;
    rm) rm -r "$home/$last" ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` on PATH; returns its folder."""
    path = tmp_path / "bin" / "docker"
    path.parent.mkdir()
    path.write_text(DOCKER)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path.parent


async def test_container_of_skydiscover_scores_as_it_prints(tmp_path: Path, docker: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:16]
    here = f"{Path('/proc/self/ns/pid').stat().st_ino}x"
    (docker / f"evolve-{here}{boot}x{os.getuid()}-999999999-1-abc").mkdir()
    others = [
        docker / f"evolve-{here}{'0' * 16}x{os.getuid()}-999999999-1-abc",
        docker / f"evolve-{here}{boot}x{os.getuid() + 1}-999999999-1-abc",
    ]
    for other in others:
        other.mkdir()
    task = load_task(write_folder(tmp_path / "point", SKYDISCOVER), container=Container())
    assert CONTAINERS in reach_of_task(task, Settings(), ())
    outcome = await evaluate(task, tmp_path)
    assert (outcome.status, outcome.score, outcome.guarantee) == ("ok", -0.5, "open"), outcome.stderr
    assert (outcome.metrics, outcome.feedback) == ({"x": 2.5}, "[hint] go up")
    failed = await evaluate(task, tmp_path, "X = 101.0\n")
    assert (failed.status, failed.reason) == ("crashed", "the evaluation ended with exit code 1: too large")
    log = (docker / "log").read_text()
    assert log.count("build -t") == 1, "later evaluations use the image"
    assert "--network none" in log
    assert sorted(docker.glob("evolve-*-*")) == sorted(others), "none is left but those of another machine and user"


async def test_tests_of_harbor_write_the_reward(tmp_path: Path, docker: Path) -> None:
    task = load_task(write_folder(tmp_path / "write", HARBOR), container=Container(network=True))
    assert task.brief.strip() == "Write `/app/answer.py`."
    assert task.spec.settings["path"] == "/app/answer.py"
    assert not (task.folder / "task" / "solution").exists(), "the solution is not for the search"
    outcome = await evaluate(task, tmp_path, "X = 3\n")
    assert (outcome.status, outcome.score, outcome.metrics) == ("ok", 0.75, {"speed": 2}), outcome.stderr
    assert "output of the tests" in outcome.stderr.decode()
    assert "--network" not in (docker / "log").read_text()


def test_without_a_tool_that_answers_one_sentence_says_why(
    tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "point", SKYDISCOVER)
    with pytest.raises(TaskError, match="containers are started only if asked for"):
        load_task(folder)
    (docker / "docker").write_text("#!/bin/sh\necho 'no daemon' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", str(docker))
    with pytest.raises(TaskError, match="no program for containers answers: docker: no daemon; podman is not on PATH"):
        load_task(folder, container=Container())
