"""The evaluator of the task data_curation, the user's data, and the task's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cognition.prior import Prior
from engine.llm.messages import PromptSize
from engine.llm.prompts.build import judge_prompt
from engine.llm.prompts.check import check_prompts
from engine.llm.prompts.templates import Prompts
from engine.programs.outline import ProgramError
from engine.task.interface import check_program

from .conftest import DATA, RAW, SEED, Parts, rows, write

# The evaluator


def test_scores_of_raw_text_seed_and_clean_text(parts: Parts) -> None:
    raw = parts.run(RAW)
    assert raw["score"] == 0 and raw["removed"] == 0 and raw["kept"] > 0.9
    assert raw["bits_per_byte"] == raw["raw_bits_per_byte"] > raw["oracle_bits_per_byte"]
    seed = parts.run(SEED)
    assert [step for step, _ in parts.curve] == [10_000, 20_000, 40_000]
    assert parts.curve[-1][1] == seed["bits_per_byte"] < parts.curve[0][1]
    assert 0 < seed["score"] < 1 and seed["characters_per_s"] > 0 and seed["data"] == "installed"
    assert {f"removed_{issue}" for issue in parts.noise.ISSUES} <= set(seed)
    assert {f"{key}_{name}" for key in ("kept", "precision") for name in parts.corpus.CATEGORIES} <= set(seed)
    perfect = {document.text: document.clean for document in parts.noisy() if document.clean}
    code = f"CLEAN = {perfect!r}\n\n\ndef curate(document, category):\n    return CLEAN.pop(document, None)\n"
    found = parts.run(code)
    assert (found["score"], found["learned"], found["cleaned"], found["invented"]) == (1, 1, 1, 0)


def test_equal_seeds_repeat_and_other_seeds_give_other_corpora(parts: Parts) -> None:
    one, again, other = (parts.run(SEED, seed=seed) for seed in (3, 3, 4))
    assert one["score"] == again["score"] != other["score"]
    assert one["fingerprint"] == again["fingerprint"] != other["fingerprint"]


def test_candidate_gets_only_documents_and_categories(parts: Parts) -> None:
    parts.run(RAW)
    ((function, documents, categories),) = parts.calls
    noisy = parts.noisy()
    assert function == "beside.py:clean" and documents == [document.text for document in noisy]
    assert categories == [document.category for document in noisy]
    held = [document.text for document in parts.corpus.installed(8, 3, 3).held_out]
    assert not any(text in given for text in held for given in documents)


def test_pairs_are_short_and_reach_judge(parts: Parts) -> None:
    found = parts.run(SEED, pairs=30)
    texts = [value for key, value in found.items() if key.startswith("pairs")]
    assert sum(len(text.splitlines()) for text in texts) == 30 and max(map(len, texts)) < 4096
    assert {line.partition("]")[0][1:] for text in texts for line in text.splitlines()} == set(parts.corpus.CATEGORIES)
    assert parts.run(SEED, pairs=0)["pairs"] == ""
    assert DATA.spec.judge is not None and check_prompts(DATA.task) == []
    prompts, criteria = Prompts(DATA.folder / "prompts"), DATA.spec.judge.criteria
    asked = judge_prompt(prompts, DATA.spec, DATA.task.brief, criteria, SEED, found, PromptSize(1_000_000))[-1].content
    assert all(text in asked for text in texts) and '"preservation": {"reason"' in asked
    assert all(asked.count(text.splitlines()[0]) == 1 for text in texts) and "- pairs" not in asked
    assert "- kept: 0.9" in asked


# The user's data


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([], r"d\.jsonl holds no rows"),
        ([{"category": "a", "text": "x"}, "{oops"], r"d\.jsonl, row 2 is no JSON: Expecting"),
        (["[1]"], r"d\.jsonl, row 1 must be an object with category and text, not a list"),
        ([{"category": "a", "body": "x"}], r"d\.jsonl, row 1 has no column text: .* this one has category, body"),
        (
            [{"category": "a", "text": "x"}, {"category": "a", "text": 5}],
            r"d\.jsonl, row 2: text must be text, not '5'",
        ),
        ([{"category": " ", "text": "x"}], r"d\.jsonl, row 1: category must be text, not ' '"),
    ],
)
def test_bad_rows_are_reported_with_file_and_row(parts: Parts, tmp_path: Path, found: list[Any], why: str) -> None:
    write(tmp_path / "d.jsonl", found)
    with pytest.raises(parts.corpus.DataError, match=why):
        parts.userdata.read("d.jsonl", tmp_path, "data")


def test_missing_and_empty_data_give_advice(parts: Parts, tmp_path: Path) -> None:
    error, read = parts.corpus.DataError, parts.userdata.read
    with pytest.raises(error, match=r"no file or folder .*/gone \(settings.data\): correct the path.*`mounts`"):
        read("gone", tmp_path, "data")
    with pytest.raises(error, match=r"has no subfolders"):
        read(str(tmp_path), tmp_path, "data")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text(" \n")
    with pytest.raises(error, match=r"the category 'empty' is empty: .*/empty holds 1 files and no text"):
        read(str(tmp_path), tmp_path, "data")
    (tmp_path / "empty" / "a.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(error, match=r"empty/a.txt cannot be read: .*utf-8"):
        read(str(tmp_path), tmp_path, "data")
    (tmp_path / "empty" / "a.txt").write_text("some text\n" * 90)
    assert list(read(str(tmp_path), tmp_path, "data")) == ["empty"]
    with pytest.raises(
        error, match=r"the category 'empty' has \d training documents in 1 sources, and 8 are asked for"
    ):
        parts.run(SEED, data=str(tmp_path))
    with pytest.raises(error, match=r"plant = false needs documents with noise of their own"):
        parts.run(SEED, plant=False)
    with pytest.raises(error, match=r"plant = false needs settings.held_out_data"):
        parts.run(SEED, plant=False, data=str(tmp_path))


def test_users_noisy_data_are_scored_without_planting(parts: Parts, tmp_path: Path) -> None:
    noise = "<div class='menu'>cookie cookie javascript privacy policy settings</div>"
    noisy = [{**row, "text": row["text"].replace("\n", f"\n{noise}\n")} for row in rows(24)]
    write(tmp_path / "noisy.jsonl", noisy)
    write(tmp_path / "clean.jsonl", rows(3))
    options = {"data": str(tmp_path / "noisy.jsonl"), "held_out_data": str(tmp_path / "clean.jsonl"), "plant": False}
    raw, seed = (parts.run(code, **options) for code in (RAW, SEED))
    assert raw["score"] == 0 and 0 < seed["score"] < 1 and "oracle_bits_per_byte" not in seed
    assert seed["score"] == pytest.approx(1 - seed["bits_per_byte"] / seed["raw_bits_per_byte"])


# The task's folder


@pytest.mark.parametrize("prior", DATA.with_recipes, ids=lambda prior: prior.id)
def test_every_recipe_makes_valid_program(parts: Parts, prior: Prior) -> None:
    before, _ = parts.cleaned(SEED)
    after, books = parts.cleaned(DATA.graft(prior))
    assert before != after and 0.1 < books["cleaned"] < 1 and books["kept"] > 0.9


def test_task_folder_passes_check() -> None:
    assert DATA.spec.guarded and DATA.spec.stages[0].repeats == 2
    DATA.check_folder()
    assert len(DATA.priors) >= 15
    covered = set().union(*(names for prior in DATA.priors for names in DATA.functions_of(prior)))
    assert covered >= DATA.parts - {"curate"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("import os", "it imports os"),
        ("import pydoc_data", "it imports pydoc_data"),
        ("found = open('x')", "it uses open"),
        ("found = re.enum.sys", "it uses sys"),
        ("x = __import__('os')", "it uses __import__"),
        ("x = getattr(re, '__buil' + 'tins__')['__imp' + 'ort__']('pydoc_data.topics')", "it uses getattr"),
        ("x = locals()['__buil' + 'tins__']", "it uses locals"),
        ("match re.sub:\n    case object(__globals__=x): pass", "it uses __globals__"),
        ("class X:\n    __match_args__ = ('__doc__',)", "it uses __match_args__"),
        ("x = '{0.__doc__}'.format(re)", "it uses format"),
        ("x = re.__getstate__()", "it uses __getstate__"),
        ("re.functools.update_wrapper(re, re.sub, ['__globals__'])", "it uses update_wrapper"),
        ("x = re.functools.cached_property(len); x.attrname = '__builtins__'", "it uses attrname, cached_property"),
        ("x = type(re.sub)(compile('1', '', 'eval'), {})", "it uses type"),
    ],
)
def test_code_that_could_look_up_text_is_refused_before_it_runs(line: str, why: str) -> None:
    with pytest.raises(ProgramError, match=f"static: {why}"):
        check_program(f"import re\n\n{line}\n{RAW}", DATA.spec)
