"""Retrieval: the priors that match a question, and those that are drawn."""

from __future__ import annotations

import random
import threading
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cognition.embedders import EmbedderError, unit_rows
from cognition.prior import Prior, parse_prior
from cognition.retrieve import Hit, Retriever
from cognition.vectors import VectorStore
from cognition.words import content_words


def prior(name: str, text: str, weight: float = 1.0) -> Prior:
    return parse_prior(name, f"---\nweight: {weight}\n---\n{text}\n")


BASE = [
    prior("lattice", "# Hexagonal rows\n\nCircles in rows, shifted."),
    prior("solver", "# Quadratic programming\n\nA solver for smooth constraints."),
    prior("hop", "# Basin hopping\n\nPerturb and solve again."),
    prior("anneal", "# Annealing\n\nAccept losses; circles shake."),
]


class Hashing:
    """Hashes words to directions, so that texts with common words are near; records the texts it embedded."""

    def __init__(self, name: str = "hashing", dim: int = 512) -> None:
        self.name = name
        self.dim = dim
        self.asked: list[str] = []
        self.broken = ""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.broken:
            raise EmbedderError(self.broken)
        self.asked += texts
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            for word in content_words(text):
                vectors[row, zlib.crc32(word[:4].encode()) % self.dim] += 1
        return unit_rows(vectors)

    def close(self) -> None:
        self.broken = "closed"


def ask(base: Sequence[Prior], *texts: str, top_k: int = 3, drawn: int = 0, seed: int = 0) -> list[Hit]:
    return Retriever().search(base, texts, top_k, drawn, rng=random.Random(seed))


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.prior.id for hit in hits]


def test_matches_are_sorted_and_explained() -> None:
    hits = ask(BASE, "Which solver has smooth constraints? Rows.", top_k=2)
    assert ids(hits) == ["solver", "lattice"]
    assert hits[0].score > hits[1].score > 0
    assert hits[0].why == "words #1 (solver, smooth, constraints), by words only"
    assert hits[0].words == ("solver", "smooth", "constraints")


def test_stop_words_and_numbers_do_not_match() -> None:
    assert ask(BASE, "in the and for a 26 of 0.5") == []
    assert ids(ask(BASE, "what about the rows in a solver for 26?")) == ["lattice", "solver"]
    assert all(set(hit.words) <= {"rows", "solver"} for hit in ask(BASE, "what about the rows in a solver for 26?"))


def test_word_forms_match_and_the_question_words_are_shown() -> None:
    (hit,) = ask(BASE, "perturbed")
    assert (hit.prior.id, hit.words) == ("hop", ("perturbed",))


def test_recipe_functions_are_found_by_parts_of_their_names() -> None:
    base = [*BASE, prior("recipe", "# Growth\n\n```python recipe\ndef radii_for(c):\n    return c\n```")]
    assert ids(ask(base, "swap radii_for: lost 0.1")) == ["recipe"]


def test_weight_scales_scores_and_zero_is_never_chosen() -> None:
    assert ids(ask(BASE, "losses rows", top_k=4))[0] == "lattice", "in its title's column too"
    base = [*BASE[:3], prior("anneal", "# Annealing\n\nAccept losses; circles shake.", weight=100)]
    hits = ask(base, "losses rows", top_k=4)
    assert hits[0].prior.id == "anneal" and hits[0].why.endswith("weight 100, by words only")
    silent = [prior("lattice", BASE[0].body, weight=0), *BASE[1:]]
    for seed in range(30):
        assert "lattice" not in ids(ask(silent, "rows", top_k=4, drawn=4, seed=seed))


def test_draws_are_weighted_reproducible_and_exclude_matches() -> None:
    counts: Counter[str] = Counter()
    base = [*BASE, prior("heavy", "# Heavy", weight=5)]
    kept = Retriever()
    for seed in range(400):
        hits = kept.search(base, ["solver"], 1, 1, rng=random.Random(seed))
        assert hits == kept.search(base[::-1], ["solver"], 1, 1, rng=random.Random(seed))
        assert ids(hits[:1]) == ["solver"]
        assert (hits[1].why, hits[1].score) == ("drawn", 0.0)
        counts[hits[1].prior.id] += 1
    assert counts["solver"] == 0
    assert 200 < counts["heavy"] < 300


def test_no_prior_is_returned_twice() -> None:
    assert sorted(ids(ask(BASE, "circles", top_k=10, drawn=10))) == sorted(p.id for p in BASE)
    assert ask([], "circles", drawn=3) == []
    assert [hit.why for hit in ask(BASE, "", " ", drawn=1)] == ["drawn"]
    assert ask(BASE) == []


def test_threshold_excludes_weak_matches() -> None:
    kept = Retriever()
    everything = kept.search(BASE, ["circles in rows shake"], 4)
    assert ids(everything) == ["lattice", "anneal"]
    assert kept.search(BASE, ["circles in rows shake"], 4, threshold=everything[0].score) == everything[:1]
    assert kept.search(BASE, ["circles in rows shake"], 4, threshold=1.01) == []


def test_edited_prior_is_found_by_its_new_words_only() -> None:
    kept = Retriever()
    assert ids(kept.search(BASE, ["rows"], 3)) == ["lattice"]
    edited = [prior("lattice", "# Zebra"), *BASE[1:]]
    assert ids(kept.search(edited, ["zebra"], 3)) == ["lattice"]
    assert kept.search(edited, ["rows"], 3) == []
    assert kept.search(BASE[1:], ["zebra"], 3) == [], "removed"


TEXTS = st.sampled_from(["circles", "rows of circles", "solver", "rows", "", "shake the solver in rows", "losses"])


@given(st.lists(st.tuples(st.sampled_from("abcde"), TEXTS, st.booleans()), max_size=25), TEXTS, st.booleans())
def test_hits_do_not_depend_on_earlier_priors(
    edits: list[tuple[str, str, bool]], question: str, by_meaning: bool
) -> None:
    kept = Retriever(Hashing() if by_meaning else None)
    base: dict[str, Prior] = {}
    for name, text, remove in edits:
        base.pop(name, None) if remove else base.update({name: prior(name, f"# {name}\n\n{text}")})
        kept.search(list(base.values()), ["circles"], 2)
    fresh = Retriever(Hashing() if by_meaning else None)
    expected = fresh.search(list(base.values()), [question], 3, 1, rng=random.Random(1))
    assert kept.search(list(base.values())[::-1], [question], 3, 1, rng=random.Random(1)) == expected


def test_index_stays_bounded_over_many_edits() -> None:
    kept = Retriever()
    for number in range(1_100):
        base = [*BASE[1:], prior("lattice", f"# Version v{number}x")]
        kept.search(base, ["solver"], 1)
    assert ids(kept.search(base, ["v1099x"], 3)) == ["lattice"]
    assert kept.search(base, ["v7x"], 3) == []
    assert len(kept._words._ids) < 600


def test_meaning_finds_priors_without_a_common_word() -> None:
    embedder = Hashing()
    kept = Retriever(embedder)
    # To this embedder words that begin alike are one; to the word index they have other stems.
    hits = kept.search(BASE, ["hopper shaken", "smooth constraints"], 4)
    assert kept.problem == ""
    by_id = {hit.prior.id: hit for hit in hits}
    assert by_id["solver"].word_rank == by_id["solver"].meaning_rank == 1
    assert by_id["solver"].score == 1.0
    assert by_id["hop"].meaning_rank is not None and by_id["hop"].word_rank is None
    assert by_id["hop"].cosine is not None and by_id["hop"].cosine >= 0.2
    assert "words" not in by_id["hop"].why and "meaning #" in by_id["hop"].why
    assert kept.search(BASE, ["zebra"], 4) == [], "near nothing"


def test_only_new_texts_are_embedded_also_across_processes(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "cognition.db")
    first = Hashing()
    kept = Retriever(first, store)
    expected = kept.search(BASE, ["circles in rows"], 4)
    asked = len(first.asked)
    kept.search(BASE, ["circles in rows"], 4)
    assert len(first.asked) == asked
    edited = [prior("lattice", "# Hexagonal rows\n\nZebras stand here."), *BASE[1:]]
    kept.search(edited, ["circles in rows"], 4)
    assert [text for text in first.asked[asked:] if "Circles" in text or "solver" in text] == []
    assert any("Zebras" in text for text in first.asked[asked:])
    again = Hashing()
    assert Retriever(again, store).search(BASE, ["circles in rows"], 4) == expected
    assert again.asked == ["circles in rows"], "the priors' vectors were there"
    other = Hashing("another", dim=32)
    Retriever(other, store).search(BASE, ["circles in rows"], 4)
    assert len(other.asked) > len(BASE), "vectors of another embedder are not its own"


def test_failed_embedder_falls_back_to_words_and_says_so() -> None:
    embedder = Hashing()
    kept = Retriever(embedder)
    both = kept.search(BASE, ["circles in rows"], 2)
    embedder.broken = "the process is gone"
    hits = kept.search([*BASE, prior("new", "# New rows")], ["shifted circles"], 2)
    assert kept.problem == "the process is gone"
    assert all(hit.why.endswith("by words only") and hit.cosine is None for hit in hits) and hits
    embedder.broken = ""
    kept._retry_at = 0.0
    assert kept.search(BASE, ["circles in rows"], 2) == both
    assert kept.problem == ""


def test_search_works_without_a_usable_base(tmp_path: Path) -> None:
    broken = tmp_path / "cognition.db"
    broken.write_text("no database")
    hits = Retriever(Hashing(), VectorStore(broken)).search(BASE, ["circles in rows"], 4)
    assert hits == Retriever(Hashing()).search(BASE, ["circles in rows"], 4)
    assert broken.read_text() == "no database"


@given(st.text() | st.sampled_from(['"', "a OR", "NEAR(a b)", "title:x", "* ^a -b", "rows\0", "'; DROP TABLE prior"]))
def test_any_question_is_plain_text(question: str) -> None:
    base = [*BASE, prior("odd", f"# Odd\n\n{question}")]
    hits = Retriever(Hashing()).search(base, [question], 5, 1)
    assert len(set(ids(hits))) == len(hits)


class Slow(Hashing):
    """Embeds once it may."""

    def __init__(self) -> None:
        super().__init__("slow")
        self.may = threading.Event()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.may.wait(60)
        return super().embed(texts)


def test_small_base_waits_for_the_finer_embedder_and_a_large_one_is_filled_beside() -> None:
    finer = Slow()
    retriever = Retriever(Hashing(), finer=finer)
    finer.may.set()
    assert ids(retriever.search(BASE, ["circles"], 3)) and finer.asked, "a search waits for a few priors"
    finer.may.clear()
    many = [*BASE, *(prior(f"more-{number:03d}", f"# Word{number} again\n\nText {number}.") for number in range(120))]
    first = retriever.search(many, ["word7"], 3)
    assert ids(first)[0] == "more-007", "the other embedder stands in for it"
    filling = retriever._finer._filling if retriever._finer is not None else None
    assert filling is not None and filling.is_alive() and not retriever.lacking
    finer.may.set()
    filling.join(60)
    before = len(finer.asked)
    assert ids(retriever.search(many, ["word8"], 3))[0] == "more-008"
    assert finer.asked[before:] == ["word8"], "only the question is new"
    finer.broken = "it is broken"
    assert ids(retriever.search(many, ["word9"], 3))[0] == "more-009"
    assert (retriever.lacking, retriever.problem) == ("it is broken", "")
    retriever.close()


def test_closing_ends_the_thread_that_fills_a_large_base() -> None:
    finer = Slow()
    retriever = Retriever(None, finer=finer)
    retriever.search([prior(f"p-{number}", f"# Word{number}") for number in range(200)], ["word7"], 3)
    finer.may.set()
    retriever.close()
    assert retriever._finer is not None and retriever._finer._filling is not None
    assert not retriever._finer._filling.is_alive()
