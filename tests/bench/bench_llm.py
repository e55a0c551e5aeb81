"""What a model costs the engine: the time of a round at a second's latency, CPU and memory of calls."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# The benches are loaded as files, from wherever the command is called.
sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.journal import events as ev
from engine.journal.reader import JournalReader
from engine.llm.client import Client, Spent
from engine.llm.messages import Message
from engine.runs.create import create_run
from engine.runs.folder import Run
from engine.settings.model import merge_settings
from engine.settings.models import ModelSpec
from engine.state.fold import fold_run
from engine.task.load import load_task
from tests.bench.bench_engine import EVALUATE, SEED, TOML, fill

SERVER = """\
import sys, threading
from tests.llm_server import LlmServer, Reply

seed, latency, pieces = sys.stdin.readline().encode().decode("unicode_escape"), float(sys.argv[1]), int(sys.argv[2])

def answer(request):
    code = seed.replace("C0 = 0.5", f"C0 = {request.number}.25")
    text = f"<name>{request.number}</name>\\n<motivation>bench</motivation>\\n<program>\\n{code}\\n</program>\\n"
    text += f"<lesson>C0 gains {request.number}</lesson>\\n<note>C0 is {request.number}.25 now.</note>"
    return Reply(text, before=latency, pieces=pieces)

print(LlmServer(answer).url, flush=True)
threading.Event().wait()
"""
_IN_FLIGHT = 8
_LATENCY = 1.0


def main(full: bool) -> list[dict[str, Any]]:
    """Measure; `full` takes longer and gives steadier figures."""
    folder = Path(tempfile.mkdtemp(prefix="evolve-bench-", dir=os.environ.get("EVOLVE_BENCH_DIR")))
    os.environ["EVOLVE_HOME"] = str(folder / "workspace")
    try:
        return [
            *_rounds(folder, 320 if full else 120),
            *_memory(folder),
            *_disk(folder, 1_000 if full else 300),
            *_calls(400 if full else 100),
        ]
    finally:
        shutil.rmtree(folder)


def _row(name: str, value: float, unit: str, budget: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "note": note}


class _Server:
    """The endpoint, in a process of its own."""

    def __init__(self, latency: float, pieces: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(latency), str(pieces)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(SEED.encode("unicode_escape").decode() + "\n")
        self._process.stdin.flush()
        self.url = self._process.stdout.readline().strip()

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _make_run(folder: Path, name: str, url: str, **settings: Any) -> Run:
    task = folder / name / "bench"
    task.mkdir(parents=True)
    for file, text in {"task.toml": TOML, "brief.md": "Bench.\n", "seed.py": SEED, "evaluate.py": EVALUATE}.items():
        (task / file).write_text(text)
    models = {"m": {"model": "m", "base_url": url, "concurrency": _IN_FLIGHT}}
    return create_run(
        load_task(task), merge_settings(("bench", {"models": models, **settings})), folder / "runs", name=name
    )


def _rounds(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Rounds with one call each, so many calls in flight all the time."""
    warm = 2 * _IN_FLIGHT
    with _Server(_LATENCY, 5) as server:
        run = _make_run(
            folder, "latency", server.url, rounds=warm + rounds, workers=_IN_FLIGHT + 4, roles={"analyzer": "rules"},
            designer={"modes": {"full": 1.0, "diff": 0.0, "crossover": 0.0, "fix": 0.0}},
        )  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "engine", str(run.folder), "--unattended"], stdin=subprocess.DEVNULL, check=True
        )
    with JournalReader(run.db) as reader:
        ended = [event.at for event in reader.events_of(ev.RoundEnded) if event.round]
        calls = len(reader.events_of(ev.CallDone))
    taken = (ended[-1] - ended[warm - 1]) / (len(ended) - warm)
    ideal = _LATENCY * 1e3 / _IN_FLIGHT
    note = f"ideal {ideal:g}; best peer 168; {calls} calls, {rounds + warm} rounds"
    return [_row(f"round, {_IN_FLIGHT} calls of {_LATENCY:g} s in flight", taken, "ms", "≤ 135", note)]


def _memory(folder: Path) -> list[dict[str, Any]]:
    """The engine's memory at 1,000 nodes, after some calls."""
    with _Server(0.0, 20) as server:
        run = _make_run(folder, "memory", server.url, rounds=1060, workers=4, slots=1)
        fill(run, 1_000)
        engine = subprocess.Popen(
            [sys.executable, "-m", "engine", str(run.folder), "--unattended"], stdin=subprocess.DEVNULL
        )
        most = 0.0
        while engine.poll() is None:
            most = max(most, _rss_mb(engine.pid))
            time.sleep(0.02)
    with JournalReader(run.db) as reader:
        state = fold_run(reader)
    note = f"peak, {sum(spent.calls for spent in state.spent.values())} calls"
    return [_row("engine's memory at 1,000 nodes, with a model", most, "MB", "≤ 110", note)]


def _disk(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """What a run with two calls a round keeps and writes."""
    with _Server(0.0, 5) as server:
        run = _make_run(folder, "disk", server.url, rounds=rounds, workers=4, slots=2)
        engine = subprocess.Popen(
            [sys.executable, "-m", "engine", str(run.folder), "--unattended"], stdin=subprocess.DEVNULL
        )
        written = 0
        while engine.poll() is None:
            try:
                lines = dict(line.split(": ") for line in Path(f"/proc/{engine.pid}/io").read_text().splitlines())
                written = max(written, int(lines["write_bytes"]))
            except (OSError, KeyError, ValueError):
                pass  # it has ended
            time.sleep(0.05)
    size = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    scale = 1_000 / rounds / 1e6
    note = f"{rounds} rounds, two calls each"
    return [
        _row("disk at the end with a model, per 1,000 rounds", size * scale, "MB", "≤ 5", note),
        _row("written with a model, per 1,000 rounds", written * scale, "MB", "≤ 60", note),
    ]


def _rss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def _calls(count: int) -> list[dict[str, Any]]:
    """CPU and memory of the client alone, for answers of 60 lines in 500 pieces."""
    with _Server(0.0, 500) as server:
        cpu, grown = asyncio.run(_ask(ModelSpec(model="m", base_url=server.url), count))
    note = f"an answer of {len(SEED.splitlines())} lines in 500 pieces"
    return [
        _row("CPU of a call", cpu * 1e3, "ms", "", note),
        _row("memory that a call leaves behind", grown * 1e3, "KB", "", f"over {count} calls"),
    ]


async def _ask(spec: ModelSpec, count: int) -> tuple[float, float]:
    client = Client(asyncio.sleep)
    prompt = [Message("user", "x" * 8_000)]

    async def ask(times: int) -> None:
        await asyncio.gather(*(client.ask(spec, prompt, Spent(), lambda piece, thought: None) for _ in range(times)))

    await ask(20)
    before, cpu = _rss_mb(os.getpid()), time.process_time()
    await ask(count)
    taken, grown = time.process_time() - cpu, _rss_mb(os.getpid()) - before
    await client.aclose()
    return taken / count, max(0.0, grown) / count
