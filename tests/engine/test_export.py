"""Exports: whole, typed, and harmless whatever a program, a model or a person wrote."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import networkx as nx
import pytest

from engine.errors import UsageError
from engine.export import export_run
from engine.export.score_curve import draw_curve
from engine.journal import events as ev
from engine.journal.database import sha256_of
from engine.runs.folder import Run
from engine.state.run_state import RunState
from tests.e2e.runs import fold
from tests.engine.ranked_runs import FITTEST, UNRANKED, make_ranked
from tests.engine.test_fork import write
from tests.engine.test_state import Script, started

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> \" ' --> ]]> \x1b[31mred\x1b[0m \u202ertl "
    "https://example.com/{{ 7 * 7 }}{% raw %} \x00 \ufffe &amp;"
)


def run_with(tmp_path: Path, text: str, nodes: int = 6) -> Run:
    """A run in which whatever can be written by others is `text`."""
    script = Script()
    begin = started()
    codes = [f"X = {node}\n# {text}\n" for node in range(nodes)]
    brief = f"Brief: {text}"
    script.add(
        ev.RunStarted(
            text, begin.settings, begin.spec | {"summary": text, "metric": text},
            {"seed.py": sha256_of(codes[0]), "brief.md": sha256_of(brief)}, host=text, versions={text: text},
        )
    )  # fmt: skip
    script.add(ev.EngineStarted(1, "h", "bubblewrap", "guarded", 1, 1, "recombine"))
    for node, code in enumerate(codes):
        script.add(ev.RoundStarted(), node)
        if node:
            script.add(ev.LearnDone(node - 1, [], [ev.PriorShown(text, "f" * 64, text, 1.0, text)]), node)
            script.add(ev.CallDone(node, text, text, tokens_in=10, tokens_out=5, usd=0.25, error=text), node)
        script.add(ev.DesignDone(sha256_of(code), text, text, text, [node - 1] if node else [], [text]), node, node)
        ok = node % 3 != 2
        status: ev.Status = "ok" if ok else "crashed"
        metrics = {"loss": node / 3, "flag": True, "mixed": text if node % 2 else 1, text: text, "none": None}
        script.add(ev.EvalStageDone("explore", status, score=float(node) if ok else None, guarantee="guarded"), node,
                   node)  # fmt: skip
        script.add(ev.EvalDone(status, float(node) if ok else None, metrics if ok else {}, text), node, node)
        if ok:
            script.add(ev.BestCrowned(float(node)), node, node)
        script.add(ev.AnalyzeDone(text, note=text), node, node)
        script.add(ev.RoundEnded("node"), node)
    for act in (ev.NodeCommented(text), ev.NodeStarred(), ev.NodePruned()):
        script.add(act, 1, 1)
    script.add(ev.Injected("hint", text))
    script.add(ev.SettingsChanged({"rounds": 7}))
    script.add(ev.PriorChanged(text, title=text))
    script.add(ev.RunStopped(text))
    return write(tmp_path / "run", script.events, [code.encode() for code in [*codes, brief]])


class Page(HTMLParser):
    """What a browser would make of the report."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside else self.texts).append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def report(run: Run, tmp_path: Path) -> tuple[str, Page]:
    export_run(run, tmp_path / "report.html")
    raw = (tmp_path / "report.html").read_text(encoding="utf-8")
    return raw, Page(raw)


def test_the_report_tells_the_run(tmp_path: Path) -> None:
    run = run_with(tmp_path, "words")
    _, page = report(run, tmp_path)
    for part in (
        "a search among what people wrote down", "guarded", "stopped: words", "2 crashed, 4 ok", "commented",
        "starred", "injected a hint", "set", "rounds = 7", "-X = 0", "+X = 4", "$1.25", "Brief: words", "Lessons",
    ):  # fmt: skip
        assert part in page.text, part
    rows = [attrs for tag, attrs in page.tags if tag == "tr" and (attrs.get("id") or "").startswith("n")]
    assert [(row["id"], row["data-depth"]) for row in rows] == [(f"n{n}", str(n)) for n in range(6)]
    assert "best" in (rows[4]["class"] or "")
    assert "failed" in (rows[2]["class"] or "")
    dots = next(attrs["d"] for tag, attrs in page.tags if tag == "path" and attrs.get("class") == "dots")
    assert (dots or "").count("M") == 4
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert links <= {f"#n{n}" for n in range(6)}


def test_the_report_is_one_file_in_which_nothing_foreign_runs(tmp_path: Path) -> None:
    run = run_with(tmp_path, HOSTILE)
    raw, page = report(run, tmp_path)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"img", "iframe", "link", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name in ("src", "style", "srcset", "action")], (
            tag
        )
        assert (attrs.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import", "".join(page.scripts))
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "alert(1)" in page.text, "it is shown as text"
    assert "{{ 7 * 7 }}" in page.text, "a program is no template"
    for control in "\x1b\u202e\x00":
        assert control not in raw
    assert not any("alert" in script for script in page.scripts)


@pytest.mark.parametrize("depth", [0, 3])
def test_a_run_without_a_score_is_reported_too(tmp_path: Path, depth: int) -> None:
    script = Script()
    script.add(started())
    for node in range(depth):
        script.design(0, [])
        script.evaluate(0, node, "crashed", None)
    run = write(tmp_path / "run", script.events, [])
    connection_free = [export_run(run, tmp_path / f"o.{kind}") for kind in ("csv", "graphml", "html")]
    assert connection_free == [depth] * 3
    assert "No node has a score" in (tmp_path / "o.html").read_text()


def test_json_holds_all(tmp_path: Path) -> None:
    run = run_with(tmp_path, HOSTILE)
    assert export_run(run, tmp_path / "run.json") == 6
    whole = json.loads((tmp_path / "run.json").read_text())
    assert (whole["task"], whole["status"], whole["guarantee"]) == (HOSTILE, "stopped", "guarded")
    assert "what people wrote down" in whole["about"]
    assert whole["settings"]["rounds"] == 7
    assert whole["best"] == {"node": 4, "score": 4.0, "fitness": 4.0} and whole["ranked_by"] == "score"
    assert whole["best_path"] == [0, 1, 2, 3, 4]
    assert [node["code"] for node in whole["nodes"]] == [f"X = {n}\n# {HOSTILE}\n" for n in range(6)]
    assert whole["nodes"][3]["metrics"]["mixed"] == HOSTILE
    assert whole["nodes"][3]["note"] == HOSTILE
    assert whole["nodes"][3]["shown"] == [{"id": HOSTILE, "revision": "f" * 64, "title": HOSTILE}]
    assert [act["what"] for act in whole["human"]] == [
        "commented", "starred", "pruned", "injected a hint", "set", "prior edited", "stopped",
    ]  # fmt: skip
    assert whole["calls"][0] | {"role": "", "model": ""} == {
        "role": "", "model": "", "calls": 5, "tokens_in": 50, "tokens_out": 25, "usd": 1.25, "seconds": 0.0,
        "failed": 5,
    }  # fmt: skip


def test_csv_has_a_row_a_node_and_no_formula(tmp_path: Path) -> None:
    run = run_with(tmp_path, "=cmd|' /C calc'!A0")
    export_run(run, tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(n) for n in range(6)]
    assert [row["score"] for row in rows] == ["0.0", "1.0", "", "3.0", "4.0", ""]
    assert [row["metric.loss"] for row in rows][3] == "1.0"
    assert rows[1]["metric.flag"] == "1"
    assert rows[2]["metric.loss"] == ""
    for row in rows:
        for key, value in row.items():
            assert not value.startswith(("=", "+", "@")), key


def test_graphml_is_read_back_with_its_types(tmp_path: Path) -> None:
    run = run_with(tmp_path, HOSTILE)
    export_run(run, tmp_path / "run.graphml")
    graph = nx.read_graphml(tmp_path / "run.graphml", node_type=int)
    assert graph.is_directed()
    assert set(graph.edges) == {(n, n + 1) for n in range(5)}
    assert graph.edges[0, 1]["order"] == 0
    assert graph.graph["direction"] == "maximize"
    third = graph.nodes[3]
    assert (third["round"], third["score"], third["best"], third["metric.loss"]) == (3, 3.0, False, 1.0)
    assert isinstance(third["metric.mixed"], str)
    assert "score" not in graph.nodes[2]
    assert "alert(1)" in third["name"]


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    run = run_with(tmp_path, "words")
    with pytest.raises(UsageError, match="names no format"):
        export_run(run, tmp_path / "run.xlsx")
    (tmp_path / "run.csv").write_text("kept until the new one is whole")
    export_run(run, tmp_path / "run.csv")
    assert not list(tmp_path.glob(".run.csv*"))


def exported(tmp_path: Path, fitness: str) -> tuple[RunState, Page]:
    """A run exported in every format, and the page that its report is."""
    run = make_ranked(tmp_path / "run", fitness)
    for kind in ("json", "csv", "graphml"):
        export_run(run, tmp_path / f"run.{kind}")
    return fold(run), report(run, tmp_path)[1]


@pytest.mark.parametrize("fitness", ["composite", "judge"])
def test_exports_carry_what_ranks_and_the_score(tmp_path: Path, fitness: str) -> None:
    state, page = exported(tmp_path, fitness)
    best = state.best_node
    assert best is not None
    whole = json.loads((tmp_path / "run.json").read_text())
    both = {"node": FITTEST, "score": 1.9, "fitness": best.fitness}
    assert whole["best"] == both and whole["ranked_by"] == "fitness"
    assert {key: whole["improvements"][-1][key] for key in both} == both
    with (tmp_path / "run.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["fitness"] for row in rows] == ["" if n.fitness is None else repr(n.fitness) for n in state.nodes]
    graph = nx.read_graphml(tmp_path / "run.graphml", node_type=int)
    assert graph.graph["ranked_by"] == "fitness"
    assert (graph.nodes[FITTEST]["score"], graph.nodes[FITTEST]["fitness"]) == (1.9, best.fitness)
    assert "fitness" not in graph.nodes[UNRANKED] and graph.nodes[UNRANKED]["score"] == 1.5
    words = " ".join(" ".join(page.texts).split())
    assert f"best fitness {best.fitness:.8g} its loss 1.9" in words
    assert f"#{FITTEST} n2 , fitness {best.fitness:.8g}, score 1.9" in words
    assert "every node's fitness (higher is better)" in words and "node fitness loss gain status" in words


def test_the_curve_of_the_report_draws_what_ranks(tmp_path: Path) -> None:
    state = exported(tmp_path, "composite")[0]
    curve = draw_curve(state)
    assert curve is not None
    # The node with the best score is no step: the line stays below it until the fittest comes.
    assert [step.label.split(",")[0] for step in curve.steps] == ["#0", f"#{FITTEST}"]
    assert curve.points.count("M") == 3 and curve.failed.count("M") == 2
    top = min(float(point.split()[1].split("h")[0]) for point in curve.points.split("M")[1:])
    assert curve.steps[-1].y == top


def test_a_report_ranked_by_the_score_shows_it_once(tmp_path: Path) -> None:
    state, page = exported(tmp_path, "score")
    assert "fitness" not in page.text.partition("Settings")[0]
    assert "best loss" in page.text and "every node's loss (lower is better)" in page.text
    curve = draw_curve(state)
    assert curve is not None and [step.label for step in curve.steps] == ["#0, round 0: 2", "#1, round 1: 1"]
    # A lower loss is better and lies lower: the axis keeps the metric's own sign.
    assert curve.steps[-1].y > curve.steps[0].y
