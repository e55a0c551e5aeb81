"""What is fuzzed: each target makes one input from a random generator and hands it to the readers of its kind.

A target returns if the reader coped or refused in words; any other exception is a finding.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from cognition.collection import Collection
from cognition.exchange import import_path
from cognition.prior import PriorError, parse_prior
from cognition.store import BaseError, CognitionError, Store
from engine.designers.recombine import check_recipes, check_tuning, take_inventory
from engine.designers.recombine.graft import graft as put
from engine.designers.recombine.program import EditError, parse_program
from engine.errors import EvolveError
from engine.evaluation.supervisor import frames as channel
from engine.evaluation.supervisor.results import clean_result
from engine.export import export_run
from engine.journal.database import row_data
from engine.journal.reader import JournalReader
from engine.llm.answers import parse_diff, parse_judgement, parse_parts, parse_report
from engine.llm.answers import parse_program as read_program
from engine.llm.blocks import AnswerError
from engine.llm.prompts import check_prompts
from engine.runs.configure import choose_settings
from engine.runs.folder import Run, all_runs
from engine.runs.fork import fork_run
from engine.runs.presets import Preset
from engine.runs.status import run_status, summarize
from engine.settings.decode import parse_assignment
from engine.state.fold import fold_run
from engine.task.load import load_task
from engine.task.scaffold import write_task
from engine.task.snapshot import read_copy
from tests.engine.designers.pairs import answers as told
from tests.engine.designers.pairs import random_program
from tests.fuzz.mutate import json_text, mutated_bytes, mutated_text, odd_value

__all__ = ["TARGETS"]

_SAMPLE = Path(__file__).parents[2] / "sample_runs" / "circle_packing_fork" / "run.db"

_TOML = [
    "name = 3", "[limits]", "seconds = 1e999", "seconds = nan", f"memory_mb = {'9' * 5000}", "processes = -1",
    f"mounts = {'[' * 3000}{']' * 3000}", "mounts = ['/']", "python = '/bin/sh'", "[run]",
    "rounds = 9223372036854775808",
    "seed = 99999999999999999999", "[[stages]]", "name = 'quick'", "repeats = 0", "threshold = inf", "[run.models.m]",
    "base_url = 'http://\\u0000'", "when = 9999-12-31T23:59:59Z", "when = 2024-02-30", "min_gain = -0.0", "[judge]",
    "criteria = []", "[interface]", "functions = ['']", "direction = 'up'", "[settings]", f"x = {'-' * 300}1",
    "a.b.c = 1",
]  # fmt: skip
_PYTHON = [
    "x = " + "-" * 20_000 + "1", "(" * 500, "def f(:", "\f", "@x", "STEPS = 3  # tune: effort 1..2", "lambda: 0",
    "    return", "from x import *", "global x", "# tune: scale 1e999..nan", "class A(B): x: int = x",
    "async def f(): pass",
    "match x:\n    case [*a]: pass", "def solve(v, *, k=K): return v", "x = 1e999", "x = 0x" + "f" * 5000, '"""', "\\",
    "if True:\n" * 120 + "pass", "f'{x!r:>{w}}'", "STEPS = 30",
]  # fmt: skip
_MARKDOWN = [
    "---", "title: x", "weight: 1e999", "weight: nan", "enabled: maybe", "tags: [a, b]", "# T", "```python recipe",
    "```",
    "~~~python recipe", *_PYTHON,
]  # fmt: skip
_ANSWER = [
    "<program>", "</program>", "<code>", "```python", "```", "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE", "<think>",
    "</think>", '{"program": "x = 1"}', '{"lesson": {"a": [1]}}', "[" * 3000, "<name>x</name>",
    "<motivation>", *_PYTHON,
]  # fmt: skip
_PROGRAM = """import math

STEPS = 30  # tune: effort 1..99


def basis(x):
    return x * math.pi + STEPS


def solve(v):
    return [basis(x) for x in v]
"""


def loader(rng: Random, folder: Path) -> None:
    """A task folder with damaged files."""
    task = write_task(folder / "task")
    name = rng.choice(["task.toml", "task.toml", "brief.md", "seed.py", "evaluate.py", "priors/rational-shape.md"])
    path = task / name
    pieces = _TOML if name == "task.toml" else _PYTHON if name.endswith(".py") else _MARKDOWN
    text = mutated_text(rng, path.read_text(), pieces)
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(mutated_bytes(rng, data) if rng.random() < 0.2 else data)
    with suppress(EvolveError):
        parse_assignment(f"{rng.choice(['a', 'a.b', 'run.seed'])}={rng.choice(_TOML).partition('=')[2]}", EvolveError)
    with suppress(EvolveError, EditError):
        loaded = load_task(task)
        choose_settings(loaded, Preset(), [("command line", {"seed": odd_value(rng)} if rng.random() < 0.5 else {})])
        check_prompts(loaded)
        read_copy(task)
        priors = []
        with suppress(PriorError):
            priors = [parse_prior("p", (task / "priors/rational-shape.md").read_text("utf-8", "replace"))]
        check_recipes(loaded.seeds, priors)
        check_tuning([("seed.py", seed) for seed in loaded.seeds], priors)
        for seed in loaded.seeds:
            take_inventory(seed.code, ["approximate"])


def priors(rng: Random, folder: Path) -> None:
    """Files of priors, in each of their formats."""
    revision = {"text": "# T\n\nBody.\n", "at": 1_700_000_000_000, "author": "human", "message": ""}
    line = {
        "id": "one", "origin": "human", "status": "active", "gone": False, "evidence": {}, "reason": "", "former": [],
        "created_at": 1_700_000_000_000, "changed_at": 1_700_000_000_000, "revisions": [revision, revision],
    }  # fmt: skip
    item = {"content": "# T\n\nBody.", "source": "s", "metadata": {"title": "T", "tags": ["a"], "weight": 1}}
    kind = rng.choice(["jsonl", "json", "md"])
    text = {
        "jsonl": lambda: "\n".join(json_text(rng, line) for _ in range(3)),
        "json": lambda: json_text(rng, {"items": {"a": item, "b": item}}),
        "md": lambda: mutated_text(rng, "---\ntitle: T\n---\n# T\n\n```python recipe\nA = 1\n```\n", _MARKDOWN),
    }[kind]()
    path = folder / f"p.{kind}"
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(mutated_bytes(rng, data) if rng.random() < 0.2 else data)
    with suppress(CognitionError, BaseError), closing(Store(folder / "cognition.db")) as store:
        collection = Collection(store, "c", "c", folder / "priors")
        import_path(collection, path)
        for entry in collection.entries("active", "pending", "rejected", "removed"):
            collection.history(entry.id)
            check_recipes([], [entry.prior])


def answers(rng: Random, folder: Path) -> None:
    """Answers of models: programs, parts, reports, judgements."""
    text = mutated_text(rng, f"<name>n</name>\n<program>\n{_PROGRAM}</program>\n```python\n{_PROGRAM}```", _ANSWER, 10)
    for read in (
        lambda: read_program(text, truncated=rng.random() < 0.3),
        lambda: parse_parts(text),
        lambda: parse_report(text),
        lambda: parse_judgement(text, ["a", "b"]),
        lambda: parse_report(json_text(rng, {"lesson": "l", "causes": ["c"], "priors": [{"title": "t", "body": "b"}]})),
        lambda: parse_judgement(json_text(rng, {"a": {"reason": "r", "score": 0.5}, "b": {"score": 1}}), ["a", "b"]),
    ):
        with suppress(AnswerError):
            read()


def hunks(rng: Random, folder: Path) -> None:
    """SEARCH/REPLACE blocks against a program."""
    block = "<<<<<<< SEARCH\n    return x * math.pi + STEPS\n=======\n    return x\n>>>>>>> REPLACE\n"
    text = mutated_text(rng, block * rng.randint(1, 4), _ANSWER, 8)
    with suppress(AnswerError):
        parse_diff(text, mutated_text(rng, _PROGRAM, _PYTHON, 3), truncated=rng.random() < 0.2)


def frames(rng: Random, folder: Path) -> None:
    """Messages of a candidate or an evaluator to the supervisor."""
    header = {"type": "result", "status": "ok", "score": 1.5, "metrics": {"a": 1, "b": [1, 2]}, "reason": "r"}
    payload = json_text(rng, header).encode("utf-8", "surrogatepass") + b"\n" + rng.randbytes(8)
    inbox = bytearray(len(payload).to_bytes(4, "big") + payload + channel.pack(header, b"x"))
    if rng.random() < 0.5:
        inbox = bytearray(mutated_bytes(rng, bytes(inbox)))
    with suppress(ValueError):
        while (frame := channel.take(inbox, 1 << 20)) is not None:
            json.dumps(clean_result(frame[0]), allow_nan=False)


def graft(rng: Random, folder: Path) -> None:
    """Grafts between random programs, and between damaged ones."""
    one, two = random_program(rng), random_program(rng)
    damaged = rng.random() < 0.3
    if damaged:
        two = mutated_text(rng, two, _PYTHON)
    try:
        joined = put(parse_program(one), parse_program(two), "step", frozenset({"step", "run"}))
    except EditError:
        return
    if damaged:
        return
    try:
        told(one)
        wanted = told(two)
    except Exception:
        return
    assert told(joined) == wanted, f"\n{one}\n----\n{two}\n----\n{joined}"


def run_db(rng: Random, folder: Path) -> None:
    """A journal with damaged bytes, rows or tables."""
    run = Run(folder / "runs" / "r")
    run.folder.mkdir(parents=True)
    data = _SAMPLE.read_bytes()
    if rng.random() < 0.4:
        run.db.write_bytes(mutated_bytes(rng, data, 30))
    else:
        run.db.write_bytes(data)
        _spoil(rng, run.db)
    for each in all_runs(folder / "runs"):
        with suppress(EvolveError):
            summarize(each)
        with suppress(EvolveError), JournalReader(each.db) as reader:
            for row in reader.rows():
                row_data(row)
        with suppress(EvolveError), JournalReader(each.db) as reader:
            state = fold_run(reader)
            run_status(each, state)
            for node in state.nodes[:5]:
                reader.text(node.program)
            reader.live_after(0)
            reader.pending()
        with suppress(EvolveError):
            export_run(each, folder / rng.choice(["o.json", "o.csv", "o.html", "o.graphml"]))
        with suppress(EvolveError):
            fork_run(each, folder / "forks", at_seq=rng.choice([None, 20, 2**63 - 1, 2**63]))


def _spoil(rng: Random, db: Path) -> None:
    columns = {"events": ["seq", "at", "kind", "round", "node"], "meta": ["value"], "blobs": ["codec", "bytes"]}
    acts = [
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM blobs; END",
        "ALTER TABLE events RENAME TO e; CREATE VIEW events AS "
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) "
        "SELECT n AS seq, 0 AS at, 'x' AS kind, 0 AS round, 0 AS node, '{}' AS data FROM r",
        "DROP TABLE meta", "ALTER TABLE events ADD COLUMN extra INTEGER", "DELETE FROM events WHERE seq = 1",
        "UPDATE events SET seq = seq + 9223372036854000000", "CREATE INDEX i ON events(abs(seq))",
    ]  # fmt: skip
    with closing(sqlite3.connect(db)) as connection:
        # The endless view is for the readers: here a query ends after some millions of steps.
        connection.set_progress_handler(lambda: 1, 2_000_000)
        if rng.random() < 0.2:
            connection.executescript(rng.choice(acts))
        connection.execute("PRAGMA writable_schema=ON")
        if rng.random() < 0.2:
            connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'STRICT', '')")
        connection.commit()
        for _ in range(rng.randint(1, 6)):
            # A row that was spoilt before may not be readable any more.
            with suppress(sqlite3.Error, OverflowError, RecursionError, ValueError):
                if rng.random() < 0.5:
                    table = rng.choice(list(columns))
                    value = odd_value(rng)
                    value = json.dumps(value) if isinstance(value, list | dict) else value
                    where = f"seq = {rng.randint(1, 80)}" if table == "events" else "random() % 3 = 0"
                    connection.execute(f"UPDATE {table} SET {rng.choice(columns[table])} = ? WHERE {where}", (value,))
                else:
                    found = connection.execute("SELECT seq, data FROM events ORDER BY random() LIMIT 1").fetchone()
                    if found:
                        text = json_text(rng, json.loads(found[1]))
                        connection.execute("UPDATE events SET data = ? WHERE seq = ?", (text, found[0]))
            connection.commit()


TARGETS: dict[str, Callable[[Random, Path], None]] = {
    target.__name__: target for target in (loader, priors, answers, hunks, frames, graft, run_db)
}
