"""Texts of programs, models and people are data: nothing in them reaches the terminal as an instruction."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

from engine.journal import events as ev
from engine.journal.blobs import insert_blob
from engine.journal.database import connect_writer, insert_event, sha256_of
from engine.journal.reader import JournalReader
from engine.programs.languages.registry import LANGUAGES
from engine.runs.folder import Run
from tests.tui.synthetic import HOSTILE, make_run
from tui.model.document import Line, code_lines, curve_lines, diff_lines, prose_lines, table_lines, text_lines
from tui.model.markdown import markdown_lines
from tui.model.node_documents import TABS, changes_document, make_subject, read_document
from tui.model.run_model import fold_model


def plain(lines: list[Line]) -> str:
    """The text of a document."""
    return "\n".join("".join(span.text for span in line) for line in lines)


def assert_harmless(text: str) -> None:
    """No control, format or private character but the newline."""
    bad = {
        f"{ord(char):04x}"
        for char in text
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    }
    assert not bad


@pytest.mark.parametrize("make", [text_lines, code_lines, lambda text: diff_lines("", text, text, text)])
def test_hostile_text_is_shown_as_data(make: object) -> None:
    text = plain(make(HOSTILE))  # type: ignore[operator]
    assert_harmless(text)
    assert "[bold red]markup[/]" in text and "␛[2J" in text


def test_line_of_a_megabyte_is_cut_with_a_mark() -> None:
    for lines in (text_lines("x" * 1_000_000), code_lines("x" * 1_000_000), diff_lines("", "x" * 1_000_000, "a", "b")):
        text = plain(lines)
        assert len(text) < 5000
        assert "998,000 more characters" in text or "more characters" in text


def test_code_keeps_every_line() -> None:
    code = 'def f(x):\n\t"""Text\n    over lines."""\n    return x + 1.5  # why\n\n\nclass A: pass'
    lines = code_lines(code)
    assert [line[0].text for line in lines] == [f"{number} " for number in range(1, 8)]
    assert plain(lines[:1]) == "1 def f(x):"
    looks = {span.look for line in lines for span in line}
    assert {"keyword", "string", "comment", "number", "heading"} <= looks


def test_code_of_other_languages_is_coloured_by_their_lexers() -> None:
    code = "// why\nint half(int x) { return x / 2; }"
    assert {"comment", "number"} <= {span.look for line in code_lines(code, "c") for span in line}
    assert {span.look for line in code_lines(code, "") for span in line} == {"dim", "plain"}
    fenced = markdown_lines(f"```c\n{code}\n```\n", 80)
    assert "comment" in {span.look for line in fenced for span in line}
    assert all(not language.lexer or get_lexer_by_name(language.lexer) for language in LANGUAGES.values())


def test_code_that_is_not_python_is_shown() -> None:
    assert plain(code_lines("def (((\n  ]]]")) == "1 def (((\n2   ]]]"


def test_diff_names_both_sides() -> None:
    lines = diff_lines("a\nb\nc\n", "a\nB\nc\n", "#1 one", "#2 two")
    text = plain(lines)
    assert text.startswith("--- #1 one\n+++ #2 two\n@@")
    assert "-b\n+B" in text
    assert plain(diff_lines("a", "a", "x", "y")) == "no difference"


def test_metrics_show_tables_and_curves() -> None:
    lines = table_lines(("metric", "#2"), [("score", "1.5"), ("a\x1b[31mlong name", "2")])
    assert_harmless(plain(lines))
    assert len({len("".join(span.text for span in line)) for line in lines}) == 1
    points = [(float(step), {"loss": 1 / step, "nan": float("nan")}) for step in range(1, 50)]
    text = plain(curve_lines(points, 40, 5))
    assert "loss" in text and "nan" not in text


@pytest.mark.parametrize("hostile", [False, True])
def test_every_tab_of_every_node_has_a_document(tmp_path: Path, hostile: bool) -> None:
    run = make_run(tmp_path / "run", 25, hostile=hostile, end="finished")
    with JournalReader(run.db) as reader:
        model = fold_model(reader.events())
    for node in model.state.nodes:
        for tab in TABS:
            lines = read_document(make_subject(run, model, node), tab, 80)
            assert lines
            assert_harmless(plain(lines))
    scored = next(node for node in model.state.nodes if node.score is not None and node.parents)
    subject = make_subject(run, model, scored)
    assert "construct_packing" in plain(read_document(subject, "Code", 80))
    assert f"--- #{scored.parents[0]}" in plain(read_document(subject, "Diff", 80))
    assert "sum_radii" in plain(read_document(subject, "Metrics", 80))
    assert "packed 26 circles" in plain(read_document(subject, "Logs", 80))
    assert "used in the program" in plain(read_document(subject, "Priors", 80))
    failed = next(node for node in model.state.nodes if node.status not in (None, "ok"))
    assert "Traceback" in plain(read_document(make_subject(run, model, failed), "Logs", 80))


def test_prose_wraps_and_tables_do_not() -> None:
    row = "| a | " + "x" * 60
    lines = prose_lines("  one two three four five six\n\nshort\n" + row, 12)
    assert plain(lines).split("\n") == ["  one two", "  three four", "  five six", "", "short", row]
    assert plain(prose_lines("y" * 30, 12)).split("\n") == ["y" * 12, "y" * 12, "y" * 6]
    assert_harmless(plain(prose_lines(HOSTILE * 9, 20)))
    assert "more characters" in plain(prose_lines("z " * 500_000, 70)).replace("\n", " ")


def test_metrics_begin_with_the_score_and_end_with_comments(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 5, end="finished")
    with JournalReader(run.db) as reader:
        model = fold_model(reader.events())
    node = next(node for node in model.state.nodes if node.score is not None)
    node.measurements, node.spread, node.verified = 3, 0.0125, 0.95
    node.starred = node.pinned = True
    node.comments = ("look at " + "this " * 30,)
    lines = read_document(make_subject(run, model, node), "Metrics", 80)
    text = plain(lines)
    assert text.startswith(f"sum_radii = {node.score:.6g}  ±0.013 over 3 measurements  verified 0.95\n")
    assert text.count("verified") == 1
    assert "* starred, ! pinned" in text and "look at this" in text
    assert max(len(line) for line in text.split("\n")) <= 100


def test_model_calls_show_prompt_answer_and_cost(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 5, end="finished")
    with JournalReader(run.db) as reader:
        model = fold_model(reader.events())
    node = model.state.nodes[3]
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": HOSTILE.replace("\ud83d", "")}]
    prompt = json.dumps({"messages": messages})
    texts = {sha256_of(text): text for text in (prompt, "the answer " * 30, "a thought")}
    sent, answer, thought = texts
    calls: list[tuple[ev.Data, int | None]] = [
        (ev.CallStarted(1, "researcher", "big", sent, {"temperature": 0.7}), None),
        (ev.CallDone(1, "researcher", "big", answer, thought, 1200, 340, 0, 0.0125, seconds=4.2, retries=2), None),
        (ev.CallStarted(2, "analyzer", "small", "f" * 64), node.id),
        (ev.CallDone(2, "analyzer", "small", error="it stayed away", fault="network", priced=False), node.id),
        (ev.CallStarted(3, "judge", "small"), node.id),
        (ev.CallStarted(4, "judge", "other node's"), node.id - 1),
    ]  # fmt: skip
    connection = connect_writer(run.db)
    for number, (data, about) in enumerate(calls, model.state.seq + 1):
        insert_event(connection, ev.Event(number, 0, node.round, about, data))
    for text in texts.values():
        insert_blob(connection, text.encode())
    connection.close()
    subject = make_subject(run, model, node)
    assert plain(read_document(subject, "Calls", 80)) == "no model was asked for this node", "it was before the calls"
    text = plain(read_document(replace(subject, seq=10**9), "Calls", 80))
    assert_harmless(text)
    head = text.split("\n")
    assert head[1].split() == ["1", "researcher", "big", "1,200", "0%", "340", "0.0125", "4.2", "2", "retries"]
    assert head[2].split() == ["2", "analyzer", "small", "0", "–", "0", "?", "0.0", "network"] and head[3].endswith(
        "asked"
    )
    assert "1,540 tokens, $0.0125+ in all" in text, "the price of the other call is not known"
    assert "be brief" in text and "a thought" in text
    assert "temperature = 0.7" in text and "it stayed away" in text and "other node's" not in text
    assert "its text is not in the journal" in text and max(map(len, head)) <= 100


def test_diff_to_any_node_and_revisions_of_priors_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 8, end="finished")
    with JournalReader(run.db) as reader:
        model = fold_model(reader.events())
    node, other = model.state.nodes[5], model.state.nodes[2]
    text = plain(read_document(make_subject(run, model, node, other), "Diff", 80))
    # The score comes first: a narrow screen cuts the name.
    old, new = (model.state.ranking.describe(one) for one in (other, node))
    assert text.startswith(f"--- #2 {old}  {other.name}\n+++ #5 {new}  {node.name}\n")
    assert "#2" in plain(read_document(make_subject(run, model, node, other), "Metrics", 80)).split("\n")[2]
    shown = plain(read_document(make_subject(run, model, node), "Priors", 80))
    assert "hexagonal  text " in shown and "score 0.8" in shown


def test_missing_blobs_are_reported(tmp_path: Path) -> None:
    from engine.errors import JournalError

    run = make_run(tmp_path / "run", 5)
    with JournalReader(run.db) as reader:
        model = fold_model(reader.events())
    subject = make_subject(Run(tmp_path / "nowhere"), model, model.state.nodes[0])
    with pytest.raises(JournalError):
        read_document(subject, "Code", 80)


def test_document_is_read_again_only_after_events_that_change_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 3, end="finished")
    shown: dict[str, list[Line]] = {}
    skipped = 0
    with JournalReader(run.db) as reader:
        first, *rest = reader.events()
        model = fold_model([first])
        for event in rest:
            model.fold(event)
            if event.node != 2:
                continue
            subject = make_subject(run, model, model.state.nodes[2])
            for tab in TABS:
                found = read_document(subject, tab, 80)
                if tab in shown and not changes_document(tab, event):
                    assert found == shown[tab], (tab, event)
                    skipped += 1
                shown[tab] = found
    assert skipped > 10
