"""Data curation: what its corpus, noise, measures and evaluator promise, and that its recipes make programs."""

from __future__ import annotations

import functools
import importlib
import json
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognition.files import PriorFolder
from cognition.prior import Prior
from engine.designers.recombine import check_recipes
from engine.designers.recombine.graft import graft
from engine.designers.recombine.program import parse_program
from engine.evaluation import evolve_task
from engine.evaluation.evaluator import Evaluation, Job, Outcome
from engine.evaluation.sandbox import sandbox_name
from engine.llm.prompts.build import judge_prompt
from engine.llm.prompts.check import check_prompts
from engine.llm.prompts.templates import Prompts
from engine.programs.outline import ProgramError
from engine.task.interface import check_program
from engine.task.load import find_task, load_task

TASK = load_task(find_task("data_curation"))
PRIORS = PriorFolder(TASK.priors).read()
SEED = TASK.seeds[0].code
RAW = "def curate(document, category):\n    return document\n"
TINY = {"documents": 8, "held_out": 3, "budget": 40_000, "trainings": 1}
MODULES = ("corpus", "noise", "userdata", "measure", "language_model", "evaluate", "evolve_task")


class Parts:
    """The task's modules, in this process; candidates run in it too."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.curve: list[tuple[int, float]] = []
        self.program: dict[str, Any] = {}
        fake = types.ModuleType("evolve_task")
        vars(fake).update(Invalid=evolve_task.Invalid, call=self.call)
        sys.modules["evolve_task"] = fake
        # Reading is the same every time and takes longer than the rest.
        self.corpus.READERS = {name: functools.cache(read) for name, read in self.corpus.READERS.items()}

    def __getattr__(self, name: str) -> Any:
        return importlib.import_module(name)

    def call(self, function: str, documents: list[str], categories: list[str], seconds: float) -> list[Any]:
        self.calls.append((function, documents, categories))
        found = [self.program["curate"](*pair) for pair in zip(documents, categories, strict=True)]
        return [made if made is None or isinstance(made, str) else {"type": type(made).__name__} for made in found]

    def load(self, code: str) -> None:
        self.program = {}
        exec(compile(code, "candidate", "exec"), self.program)

    def run(self, code: str, seed: int = 3, **settings: Any) -> dict[str, Any]:
        """What `evaluate` returns for a program."""
        self.load(code)
        self.calls.clear()
        self.curve.clear()

        class Report:
            def __call__(report, step: int, bits_per_byte: float) -> None:
                self.curve.append((step, bits_per_byte))

        report = Report()
        vars(report).update(settings={**TASK.spec.settings, **TINY, **settings}, seed=seed, device="")
        found: dict[str, Any] = self.evaluate.evaluate("program.py", report)
        return found

    @functools.cache  # noqa: B019 - one for the module
    def noisy(self) -> list[Any]:
        """The documents that `run` has a program clean."""
        found: list[Any] = self.noise.plant(self.corpus.installed(8, 3, 3), 3)
        return found

    @functools.cache  # noqa: B019
    def cleaned(self, code: str) -> tuple[list[str], dict[str, float]]:
        """What a program makes of them, without any training."""
        self.load(code)
        answer = self.call("", [item.text for item in self.noisy()], [item.category for item in self.noisy()], 0)
        texts, invented = self.measure.check(self.noisy(), answer)
        assert invented < 0.01
        return texts, self.evaluate.balance(self.measure.account(self.noisy(), texts))[0]


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    kept = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(TASK.folder))
    yield Parts()
    sys.path.remove(str(TASK.folder))
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.modules.update(kept)


# The corpus and what is planted in it


def test_corpus_depends_on_seed_and_is_held_out_by_source(parts: Parts) -> None:
    one, again, other = (parts.corpus.installed(20, 8, seed) for seed in (1, 1, 2))
    assert one.categories == list(parts.corpus.CATEGORIES)
    for side, count in ((one.train, 20), (one.held_out, 8)):
        assert [document.category for document in side] == [name for name in one.categories for _ in range(count)]
        assert all(100 < len(document.text) < 3_100 for document in side)
    assert not {document.source for document in one.train} & {document.source for document in one.held_out}
    marks = [parts.corpus.fingerprint(corpus) for corpus in (one, again, other)]
    assert marks[0] == marks[1] != marks[2]


def test_planted_noise_is_recorded_by_line(parts: Parts) -> None:
    corpus = parts.corpus.installed(30, 3, 5)
    noisy = parts.noise.plant(corpus, 5)
    kept = sorted(" ".join(document.clean.split()) for document in noisy if document.clean)
    assert kept == sorted(" ".join(document.text.split()) for document in corpus.train)
    issues = {line.issue for document in noisy for line in document.lines}
    assert issues == {"", *parts.noise.ISSUES}
    assert all(line.text == line.clean for document in noisy for line in document.lines if not line.issue)
    share = sum(len(document.clean) for document in noisy) / sum(len(document.text) for document in noisy)
    assert 0.4 < share < 0.7
    assert [document.text for document in parts.noise.plant(corpus, 5)] == [document.text for document in noisy]


def test_duplicate_follows_its_original(parts: Parts) -> None:
    noisy = parts.noise.plant(parts.corpus.installed(30, 3, 5), 5)
    exact = near = 0
    for place, document in enumerate(noisy):
        if document.lines[0].issue == "duplicate":
            before = [other.text for other in noisy[:place]]
            if document.text in before:
                exact += 1
            else:
                lines = set(document.text.splitlines())
                near += any(len(lines & set(text.splitlines())) > len(lines) / 2 for text in before)
    count = sum(document.lines[0].issue == "duplicate" for document in noisy)
    assert exact + near == count > 20 and exact > 5 and near > 5


def test_personal_data_are_invented(parts: Parts) -> None:
    rng = np.random.default_rng(0)
    text = "\n".join(line for _ in range(200) for line in parts.noise._personal(rng))
    assert set(parts.noise.WORDS) and "@example.com" in text
    for part in text.split():
        if "@" in part:
            assert part.strip("<>,").partition("@")[2].rpartition(".")[0] == "example"
    assert text.count("+1 (555) 555-01") == text.count("+1") > 50


# Language models


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_ngram_model_matches_its_definition(text: list[int], held: list[int]) -> None:
    sys.path.insert(0, str(TASK.folder))
    try:
        model = importlib.import_module("language_model")
    finally:
        sys.path.remove(str(TASK.folder))

    def chance(place: int, length: int) -> float:
        if length < 0:
            return 1 / 256
        lower = chance(place, length - 1)
        context = ([0] * length + held)[place : place + length]
        reach = min(2, length + 1)
        windows = [tuple(([0, 0, *text])[k + 2 - reach : k + 3]) for k in range(len(text))]
        # Below the longest contexts a window counts once for each byte that stood before it.
        counted = windows if length == 2 else [window[1:] for window in set(windows)]
        after = [window[-1] for window in counted if list(window[:-1]) == context]
        if not after:
            return lower
        discounted = max(0, after.count(held[place]) - 0.9)
        return (discounted + 0.9 * len(set(after)) * lower) / len(after)

    expected = -np.mean([np.log2(chance(place, 2)) for place in range(len(held))])
    arrays = (np.array(data, np.uint8) for data in (text, held))
    assert model.ngram(*arrays, 3) == pytest.approx(expected)


def test_stream_keeps_order_if_documents_are_left_out(parts: Parts) -> None:
    stream = parts.language_model.stream
    texts = [f"document {k} " for k in range(9)]
    whole = stream(texts, 120, 1).tobytes().split(b"\0")
    fewer = stream([text if k % 2 else "" for k, text in enumerate(texts)], 120, 1).tobytes().split(b"\0")
    once = [text for text in whole[:9] if int(text.split()[1]) % 2]
    assert fewer[:4] == once and fewer[4:8] == once and len(whole[0]) == 11
    assert stream(texts, 120, 1, 1).tobytes() != stream(texts, 120, 1).tobytes()
    with pytest.raises(ValueError, match="no text to train on"):
        stream(["", " "], 10, 0)


@pytest.mark.needs("torch")
def test_transformer_learns(parts: Parts) -> None:
    settings = {"model": "transformer", "width": 16, "layers": 1, "heads": 2, "context": 16, "batch": 4}
    settings["learning_rate"] = 0.01
    text = np.frombuffer(b"abcdefgh" * 400, np.uint8)
    told: list[tuple[int, float]] = []

    def learn() -> float:
        found: float = parts.language_model.bits_per_byte(
            text, text[:100], settings, 1, "", lambda step, value: told.append((step, value))
        )
        return found

    bits = learn()
    assert bits < 2 and learn() == bits
    assert [step for step, _ in told[:3]] == [768, 1600, 3200] and told[2][1] == bits
    with pytest.raises(ValueError, match=r"`model` in the settings is 'lstm'; there are ngram, transformer"):
        parts.language_model.bits_per_byte(text, text, {"model": "lstm"}, 1, "")
    with pytest.raises(ValueError, match=r"50 bytes are less than a step: context = 16 times batch = 4"):
        parts.language_model.bits_per_byte(text[:50], text, settings, 1, "")


# What is measured of a cleaning


def document(parts: Parts, *lines: tuple[str, str | None, str]) -> Any:
    return parts.noise.Noisy("web", [parts.noise.Line(*line) for line in lines])


def test_removed_and_kept_count_characters_in_words(parts: Parts) -> None:
    noisy = document(
        parts,
        ("Home | Blog", None, "navigation"),
        ("<p>good words stay</p>", "good words stay", "markup"),
        ("more good text", "more good text", ""),
    )
    books = parts.measure.account([noisy], ["Home good stay, more good text"])
    share = books.categories["web"]
    assert (share.clean, share.kept, share.noise, share.left) == (25, 20, 10, 4)
    assert share.recall == 0.8 and share.precision == pytest.approx(20 / 24) and share.removed == 0.6
    assert books.issues["web", "navigation"].left == 4 and books.issues["web", "markup"].left == 0
    perfect = parts.measure.account([noisy], [noisy.clean]).categories["web"]
    assert (perfect.recall, perfect.precision, perfect.removed) == (1, 1, 1)
    assert parts.measure.account([noisy], [noisy.text]).categories["web"].removed == 0
    assert parts.evaluate.issues(books) == (
        "navigation noise stays in web: 50% of its 8 characters are still there, 100% of all noise that is left",
        "good text is lost in web: 20.0% of its 25 characters, while 60% of the noise there is removed",
    )


def test_own_text_is_recognised_through_tags_entities_and_mojibake(parts: Parts) -> None:
    noisy = document(
        parts,
        ("<b>The</b> quick&nbsp;brown fox itâ€™s &lt;here&gt; now", None, "markup"),
        ("and a line", None, ""),
        ("of its own", None, ""),
    )
    own = parts.measure.own_words
    for text in (noisy.text, "The quick brown fox it’s <here> now", "and a line of its own", "quick brown\nits own"):
        assert own(noisy, text) == (text, 0)
    assert own(noisy, "and a line\nsome words that were never there\nfox") == ("and a line\nfox", 32)
    assert own(noisy, "line a and its of own") == ("", 21)


def test_foreign_words_are_cut_out_of_line(parts: Parts) -> None:
    ours, foreign = ([f"{name}{k}" for k in range(count)] for name, count in (("own", 40), ("foreign", 30)))
    noisy = document(parts, (" ".join(ours) + ".", None, ""))
    own = parts.measure.own_words
    added = " ".join(foreign) + " "
    for place in (0, 20):
        made = [*ours[:place], *foreign, *ours[place:]]
        assert own(noisy, " ".join(made) + ".") == (noisy.text, len(added))
    assert own(noisy, f"{noisy.text} {added}") == (f"{noisy.text} ", len(added))
    assert own(noisy, "  (own3 own4 own5, added: own8 own9 own10)") == ("  (own3 own4 own5, own8 own9 own10)", 7)
    # Where a program has taken something away, what stood on both sides of it stays.
    for text in ("own1 own2 own3 own7 own8 own9", "own1 own2 own3 own5 own7 own8 own9", "own4", "own1 own2", "  \n--"):
        assert own(noisy, text) == (text, 0)
    for text in ("own2 own1", "\town1 added", "own4 own1 own6 own3"):
        assert own(noisy, text) == ("", len(text))


def held_out_text(parts: Parts) -> str:
    return "\n".join(document.text for document in parts.corpus.installed(8, 3, 3).held_out)


def cheats(parts: Parts) -> dict[str, tuple[str, str]]:
    held = held_out_text(parts)
    return {
        "memorised": (
            f"TEXT = {held!r}\ndef curate(document, category):\n    return TEXT[: len(document)]\n",
            r"must be the document's own: 9\d\.\d% of what was returned \(at most 3%\) does not stand in the document, "
            r".* of that in document",
        ),
        "appended": (
            f"TEXT = {held!r}\ndef curate(document, category):\n    return document + chr(10) + TEXT[:150]\n",
            r"must be the document's own: \d+\.\d% of what was returned",
        ),
        "fluent": (
            "def curate(document, category):\n    return 'The function returns the value of the object. ' * 3\n",
            r"must be the document's own: 9\d\.\d% of what was returned",
        ),
        "shuffled": (
            "def curate(document, category):\n    return ' '.join(sorted(document.split()))\n",
            r"must be the document's own",
        ),
        "longer": (
            "def curate(document, category):\n    return document * 3\n",
            r"may not be much longer than it was: document 1 of \d+ \(\w+\) has [\d,]+ characters, and had",
        ),
        "emptied": ("def curate(document, category):\n    return None\n", r"emptied: 0 of [\d,]+ characters are left"),
        "first lines": (
            "def curate(document, category):\n    return min(document.splitlines(), key=len)\n",
            r"emptied: .* less than 5%",
        ),
        "bytes": (
            "def curate(document, category):\n    return document.encode()\n",
            r"must return text or None; for document 1 of \d+ \(\w+\) it returned a bytes",
        ),
    }


@pytest.mark.parametrize(
    "name", ["memorised", "appended", "fluent", "shuffled", "longer", "emptied", "first lines", "bytes"]
)
def test_cheat_is_refused_with_measured_figure(parts: Parts, name: str) -> None:
    code, why = cheats(parts)[name]
    with pytest.raises(evolve_task.Invalid, match=why):
        parts.run(code)


def test_memorised_text_gains_nothing(parts: Parts) -> None:
    lines = [line for line in held_out_text(parts).splitlines() if len(line.split()) > 6][:20]
    code = (
        f"LINES = {lines!r}\nturn = []\n\ndef curate(document, category):\n    turn.append(1)\n"
        "    return document + chr(10) + LINES[len(turn) % 20] if len(turn) % 4 == 0 else document\n"
    )
    honest, cheating = parts.run(RAW), parts.run(code)
    assert 0.005 < cheating["invented"] < 0.03
    assert cheating["bits_per_byte"] == pytest.approx(honest["bits_per_byte"], abs=0.002)


@pytest.mark.parametrize("answer", [None, [], "text", {"type": "list"}])
def test_forged_answer_is_refused(parts: Parts, answer: object) -> None:
    with pytest.raises(evolve_task.Invalid, match="no list with something for each document"):
        parts.measure.check(parts.noisy(), answer)


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
    assert TASK.spec.judge is not None and check_prompts(TASK) == []
    prompts, criteria = Prompts(TASK.folder / "prompts"), TASK.spec.judge.criteria
    asked = judge_prompt(prompts, TASK.spec, TASK.brief, criteria, SEED, found, 1_000_000)[-1].content
    assert all(text in asked for text in texts) and '"preservation": {"reason"' in asked
    assert all(asked.count(text.splitlines()[0]) == 1 for text in texts) and "- pairs" not in asked
    assert "- kept: 0.9" in asked


# Data of the user's


def rows(count: int, category: str = "notes") -> list[dict[str, str]]:
    return [
        {"category": category, "text": "\n".join(f"{category} {k} says that line {n} is good" for n in range(25))}
        for k in range(count)
    ]


def write(path: Path, found: list[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in found))
    return path


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


def grafted(prior: Prior) -> str:
    components = frozenset(parse_program(SEED).functions)
    code = SEED
    for recipe in prior.recipes:
        for function in set(parse_program(recipe.code).functions) & components:
            code = graft(parse_program(code), parse_program(recipe.code), function, components)
    check_program(code, TASK.spec)
    return code


@pytest.mark.parametrize("prior", [prior for prior in PRIORS if prior.recipes], ids=lambda prior: prior.id)
def test_every_recipe_makes_valid_program(parts: Parts, prior: Prior) -> None:
    before, _ = parts.cleaned(SEED)
    after, books = parts.cleaned(grafted(prior))
    assert before != after and 0.1 < books["cleaned"] < 1 and books["kept"] > 0.9


def test_task_folder_passes_check() -> None:
    assert TASK.spec.guarded and TASK.spec.stages[0].repeats == 2
    assert check_recipes(TASK.seeds, PRIORS) == [] and PriorFolder(TASK.priors).problems == []
    assert len(PRIORS) >= 15 and all(prior.source and prior.tags and prior.title for prior in PRIORS)
    covered = {name for prior in PRIORS for recipe in prior.recipes for name in parse_program(recipe.code).functions}
    assert covered >= parse_program(SEED).functions.keys() - {"curate"}


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
        check_program(f"import re\n\n{line}\n{RAW}", TASK.spec)


# In the sandbox


async def evaluated(
    tmp_path: Path, code: str, task_folder: Path = TASK.folder, **settings: Any
) -> tuple[Outcome, list[float | None]]:
    job = Job(
        program=code,
        task_folder=task_folder,
        folder=tmp_path / "run" / "work" / "1",
        metric=TASK.spec.metric,
        guarded=True,
        gpu=False,
        python=None,
        mounts=[settings["data"]] if "data" in settings else [],
        stage="explore",
        repeat=0,
        seed=1,
        settings={**TASK.spec.settings, **TINY, **settings},
        limits=TASK.spec.limits_of(TASK.spec.stages[0]),
        threads=1,
    )
    steps: list[float | None] = []
    evaluation = await Evaluation.start(job, lambda step, values: steps.append(step))
    outcome = await evaluation.outcome()
    await evaluation.acknowledge()
    return outcome, steps


async def test_users_folder_is_read_in_sandbox(tmp_path: Path) -> None:
    for category in ("notes", "logs"):
        (tmp_path / "data" / category).mkdir(parents=True)
        for number, row in enumerate(rows(32, category)):
            (tmp_path / "data" / category / f"{number}.txt").write_text(row["text"])
    outcome, steps = await evaluated(tmp_path, SEED, data=str(tmp_path / "data"), held_out=2)
    assert outcome.status == "ok", outcome.reason
    assert outcome.guarantee == ("guarded" if sandbox_name() == "bubblewrap" else "open")
    assert outcome.metrics["data"] == "data" and "removed_logs" in outcome.metrics
    assert steps == [10_000, 20_000, 40_000]


LOOKED_UP = """
def refused(function, *args):
    try:
        function(*args)
    except PermissionError as error:
        return str(error)
    return "nothing"


def look(at):
    found = __builtins__
    yield refused(found["__import__"], "pydoc_data.topics")
    yield refused(found["open"], re.__file__)
    yield refused(found["getattr"], look, "__code__")
    yield refused(type(look), compile("1", "", "eval"), {})
    modules = found["__import__"]("sys").modules
    yield refused(modules["gc"].get_objects)
    yield refused(modules["os"].open, re.__file__, 0)

    class Program(str):
        def __eq__(self, other):
            return True

        __hash__ = str.__hash__

    yield refused(found["__import__"], Program("pydoc_data.topics"))
    yield f"{at}: {re.sub.__doc__} {modules['contextlib'].suppress.__doc__} {modules['fractions'].__doc__}"


FIRST = list(look("at import"))


def curate(document, category):
    return "\\n".join([*FIRST, *look("while it cleans")])
"""


async def test_program_can_open_no_file(tmp_path: Path) -> None:
    """What no check before it runs has told: the sandbox refuses it all the same."""
    folder = tmp_path / "task"
    folder.mkdir()
    shutil.copy(TASK.folder / "beside.py", folder)
    (folder / "evaluate.py").write_text(
        "import evolve_task\n\ndef evaluate(program_path, report):\n"
        "    (found,) = evolve_task.call('beside.py:clean', ['text'], ['code'])\n"
        "    return {'score': 1.0, 'found': found}\n"
    )
    outcome, _ = await evaluated(tmp_path, f"import re\n{LOOKED_UP}", folder)
    assert outcome.status == "ok", outcome.reason
    found = str(outcome.metrics["found"]).splitlines()
    refusals = [
        "(import pydoc_data.topics)",
        "(open ",
        "(object.__getattr__ <function look",
        "(function.__new__ <code",
        "(gc.get_objects ",
        "(open ",
        "(import pydoc_data.topics)",
    ]
    assert len(found) == 16
    for half, when in ((found[:8], "at import"), (found[8:], "while it cleans")):
        for refusal, event in zip(half, refusals, strict=False):
            assert refusal.startswith(f"a program may open no file and load no module {event}")
        assert half[7] == f"{when}: None None None"


@pytest.mark.parametrize(
    "code",
    [
        "def curate(document, category):\n    return document.encode('cp437').decode()\n",
        f"'x'.encode('cp437')\n{RAW}",
    ],
)
async def test_program_that_opens_file_gets_reason(tmp_path: Path, code: str) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "d.jsonl", [{**row, "source": str(k)} for k, row in enumerate(rows(32))])
    outcome, _ = await evaluated(tmp_path, code, data=str(tmp_path / "data" / "d.jsonl"), held_out=2)
    assert outcome.status == "crashed"
    assert "a program may open no file and load no module (import encodings.cp437)" in outcome.reason
