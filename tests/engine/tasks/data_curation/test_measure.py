"""The measures of the task data_curation, and cheats that they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from engine.evaluation import evolve_task

from .conftest import RAW, Parts

# Measures of a cleaning


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
    # If a program removes something, the text on both sides stays.
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
