"""Import and export of collections: a collection exported and imported elsewhere is the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cognition.exchange import export_folder, export_items, export_lines, import_path
from cognition.prior import PriorError
from cognition.store import CognitionError
from tests.cognition.base import Base

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), min_size=1)
TEXTS = WORDS.filter(lambda text: bool(text.strip()) and not text.startswith("\ufeff"))
VERBS = st.sampled_from(["edit", "disable", "weigh", "remove", "propose", "reject", "gone"])


def fill(base: Base, acts: list[tuple[str, str, str]]) -> None:
    """Apply some acts to a base; skip those that it refuses."""
    for name, text, verb in acts:
        priors = base.priors
        try:
            if priors.find(name) is None:
                if verb == "propose":
                    priors.propose(name, text, run="run", nodes=[1])
                else:
                    priors.add(name, text, message=verb)
            elif verb == "edit":
                priors.edit(name, text)
            elif verb == "disable":
                priors.set_enabled(name, False)
            elif verb == "weigh":
                priors.set_weight(name, 0.25)
            elif verb == "remove":
                priors.remove(name)
            elif verb == "reject":
                priors.reject(name, text)
            elif verb == "gone":
                priors.set_gone(name, True)
        except (CognitionError, PriorError):
            continue


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(["a", "b b", "Ünï"]), TEXTS, VERBS), max_size=12))
def test_json_lines_round_trip(acts: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here, there = Base(Path(folder) / "here"), Base(Path(folder) / "there")
        fill(here, acts)
        path = Path(folder) / "all.jsonl"
        path.write_text(export_lines(here.priors), encoding="utf-8")
        done = import_path(there.priors, path)
        assert (done.refused, done.edited, done.same) == ([], [], [])
        assert export_lines(there.priors) == export_lines(here.priors)
        assert there.priors.priors() == here.priors.priors()
        again = import_path(there.priors, path)
        assert again.added == [] and again.edited == []
        assert export_lines(there.priors) == export_lines(here.priors)
        out = Path(folder) / "out"
        export_folder(here.priors, out)
        third = Base(Path(folder) / "third")
        import_path(third.priors, out)
        texts = {entry.id: entry.prior.text for entry in here.priors.entries()}
        assert {entry.id: entry.prior.text for entry in third.priors.entries()} == texts
        for base in (here, there, third):
            base.store.close()


def test_cognition_of_asi_evolve_is_imported_and_exported(tmp_path: Path) -> None:
    base = Base(tmp_path)
    items = {
        "8f14e45f-ceea-467f-ab1c-2f3d4e5a6b7c": {
            "content": "Keep the norm of the state bounded.\nIt diverges otherwise.",
            "source": "arXiv 2412.06464\nsection 3",
            "metadata": {"tags": ["stability"], "year": 2024},
        },
        "gating": {"content": "# Gate the update\n\nForget before you write.", "source": "", "metadata": {}},
        "empty": {"content": "  ", "source": "", "metadata": {}},
    }
    path = tmp_path / "cognition.json"
    path.write_text(json.dumps({"items": items, "version": 1}))
    done = import_path(base.priors, path)
    assert done.added == ["keep-the-norm-of-the-state-bounded", "gating"] and len(done.refused) == 1
    first = base.priors.get("keep-the-norm-of-the-state-bounded")
    assert first.prior.title == "Keep the norm of the state bounded."
    assert (first.prior.tags, first.prior.source) == (("stability",), "arXiv 2412.06464 section 3")
    assert (first.origin, first.evidence["metadata"]["year"]) == ("import", 2024)
    assert import_path(base.priors, path).added == [], "an item is taken once"
    out = json.loads(export_items(base.priors))
    assert out["items"]["gating"]["content"] == items["gating"]["content"]
    (tmp_path / "again.json").write_text(json.dumps(out))
    other = Base(tmp_path / "other")
    import_path(other.priors, tmp_path / "again.json")
    assert [(p.id, p.title, p.tags, p.body.strip()) for p in other.priors.priors()] == [
        (p.id, p.title, p.tags, p.body.strip()) for p in base.priors.priors()
    ]
    base.store.close()
    other.store.close()


PROGRAM = '''
import sys, textwrap
from Evolve.utils.structures import CognitionItem
open("/proof", "w").write("it was run")  # a program that is only read does not
SOURCE = "Theory of " "packing"
TAIL: str = "\\nPolish at the end."
def fill(cog, topics):
    LOOP = [
        structures.CognitionItem("Corners hold the largest." + TAIL, SOURCE, metadata={"topic": "edge_effects"}),
        CognitionItem(content=textwrap.dedent("""
            Start several times.
            Keep the best."""), source=f"{SOURCE}!", metadata={"tags": ["search"], "rank": -1, "on": [True, None]}),
        CognitionItem(content=topics[0]),
        CognitionItem(content=7),
        CognitionItem(**{"content": "A table.", "id": "table"}),
        {"role": "user", "content": "no item"},
    ]
    cog.add_batch(LOOP)
'''


def test_items_of_asi_evolve_are_read_from_a_program_that_is_not_run(tmp_path: Path) -> None:
    base = Base(tmp_path)
    path = tmp_path / "init_cognition.py"
    path.write_text(PROGRAM.replace("/proof", str(tmp_path / "proof")))
    done = import_path(base.priors, path)
    assert done.added == ["edge-effects", "start-several-times", "table"]
    assert done.refused == [
        "init_cognition.py, line 13: topics[0] is known only to the running program, and it is never run",
        "init_cognition.py, line 14: its content is no text",
    ]
    first, second, _ = base.priors.priors()
    assert (first.title, first.source) == ("edge effects", "Theory of packing")
    assert first.body.strip() == "Corners hold the largest.\nPolish at the end."
    assert (second.source, second.tags) == ("Theory of packing!", ("search",))
    assert base.priors.get("start-several-times").evidence["metadata"]["rank"] == -1
    assert not (tmp_path / "proof").exists()
    # The cognition.json that the program makes gives each item an id.
    made = {"content": "Corners hold the largest.\nPolish at the end.", "source": "Theory of packing"}
    made_id = "8f14e45f-ceea-467f-ab1c-2f3d4e5a6b7c"
    items = {made_id: {"id": made_id, **made, "metadata": {"topic": "edge_effects"}}}
    (tmp_path / "cognition.json").write_text(json.dumps({"items": items}))
    assert import_path(base.priors, tmp_path / "cognition.json").same == ["edge-effects"]
    assert import_path(base.priors, path).added == []
    base.store.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def", "line 1 is not valid Python"),
        ("-" * 200_000 + "1", "nested too deeply"),
        ("x = 1", "holds no cognition"),
        (b"x = 1\0".decode(), "line|null"),
    ],
    ids=["syntax", "depth", "none", "null"],
)
def test_program_without_items_is_an_error(text: str, why: str, tmp_path: Path) -> None:
    base = Base(tmp_path)
    (tmp_path / "init.py").write_text(text)
    with pytest.raises(CognitionError, match=why):
        import_path(base.priors, tmp_path / "init.py")
    base.store.close()


def test_names_that_unfold_into_gigabytes_are_refused(tmp_path: Path) -> None:
    base = Base(tmp_path)
    names = "".join(f"b{n} = b{n - 1} + b{n - 1}\nc{n} = [c{n - 1}, c{n - 1}]\n" for n in range(1, 60))
    calls = [
        f"CognitionItem(content={content}, metadata={{'x': {more}}})\n"
        for content, more in (
            ("b59", "1"), ("'t'", "c59"), ("'t'", f"[{'f, ' * 1000}]"), ("d", "1"), ("b'x'", "1"), ("'good'", "1"),
        )
    ]  # fmt: skip
    long = f"f = '{'y' * 10_000}'\n"
    (tmp_path / "init.py").write_text(f"b0 = 'x'\nc0 = []\nd = e\ne = d\n{long}{names}{''.join(calls)}")
    done = import_path(base.priors, tmp_path / "init.py")
    assert (done.added, len(done.refused)) == (["good"], 5)
    base.store.close()


def test_unchanged_export_for_asi_evolve_adds_nothing(tmp_path: Path) -> None:
    base = Base(tmp_path)
    base.priors.add("gate", "---\ntags: a, b\nweight: 2\nsource: here\n---\n# Gate the update\n\nForget first.\n")
    base.priors.add("plain", "No heading at all.\n")
    base.priors.add("gone", "# Gone\n")
    path = tmp_path / "all.json"
    path.write_text(export_items(base.priors))
    base.priors.remove("gone")
    before = export_lines(base.priors)
    done = import_path(base.priors, path)
    assert (done.added, done.edited, sorted(done.same)) == ([], [], ["gate", "plain"])
    assert done.refused == ["gone: 'gone' is there and removed"]
    assert export_lines(base.priors) == before
    base.priors.edit("plain", "Another text.\n")
    assert import_path(base.priors, path).added == ["plain-2"], "the item is not the prior that has its id now"
    base.store.close()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", "x", "is not a folder"),
        ("a.json", "{", "is not JSON"),
        ("a.json", '{"nodes": []}', "holds no cognition"),
        ("a.jsonl", "\udcff", "not UTF-8"),
        ("missing.jsonl", None, "cannot be read"),
    ],
)
def test_unreadable_import_is_an_error(tmp_path: Path, name: str, content: str | None, why: str) -> None:
    base = Base(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CognitionError, match=why):
        import_path(base.priors, tmp_path / name)
    base.store.close()


def test_bad_lines_are_refused_and_good_ones_imported(tmp_path: Path) -> None:
    base = Base(tmp_path)
    base.priors.add("a", "# A\n")
    good = export_lines(base.priors)
    bad = [
        "{}", "nonsense", "[]", good.replace('"a"', '"../a"'), good.replace('"active"', '"odd"'),
        good.replace("# A\\n", "---\\ncolour: red\\n---\\n").replace('"a"', '"c"'),
    ]  # fmt: skip
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join([*(line.strip() for line in bad), good.replace('"id": "a"', '"id": "b"')]))
    done = import_path(base.priors, path)
    assert done.added == ["b"] and len(done.refused) == len(bad)
    assert done.refused[0].startswith("line 1:")
    # This line is refused only after its texts were written: they are rolled back.
    path.write_text(
        good.replace('"id": "a"', '"id": "d"')
        .replace('"reason": ""', '"reason": {}')
        .replace('"changed_at": ', '"changed_at": "soon", "was": ')
    )
    done = import_path(base.priors, path)
    assert len(done.refused) == 1 and base.priors.find("d") is None
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(CognitionError, match="not empty"):
        export_folder(base.priors, tmp_path / "full")
    base.store.close()
