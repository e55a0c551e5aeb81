"""The corpus of the task data_curation, its planted noise, and the language models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import DATA, Parts

# The corpus and its planted noise


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
    with DATA.importable() as load:
        model = load("language_model")

    def chance(place: int, length: int) -> float:
        if length < 0:
            return 1 / 256
        lower = chance(place, length - 1)
        context = ([0] * length + held)[place : place + length]
        reach = min(2, length + 1)
        windows = [tuple(([0, 0, *text])[k + 2 - reach : k + 3]) for k in range(len(text))]
        # Below the longest contexts a window counts once for each different byte before it.
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
