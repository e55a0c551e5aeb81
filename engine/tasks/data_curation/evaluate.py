"""Let a candidate clean noisy documents, train a small language model on the result, and measure both.

The candidate runs in another sandbox and gets only documents and their categories: the record of planted noise, the
clean text and the held-out documents stay in this process, which also trains and scores.
"""

from __future__ import annotations

import time
from itertools import zip_longest
from pathlib import Path

import corpus
import evolve_task
import measure
import userdata
from disturb import check_memory, disturb
from language_model import bits_per_byte, stream
from noise import ISSUES, Line, Noisy, plant

EXCERPT = 200
"""Characters of a document shown before and after cleaning."""
METRIC = 4000
"""The most characters of pairs in one metric; a metric may hold 4,096."""


def evaluate(program_path, report):
    """Clean, train and score: the mean of what the model learns from the cleaned text and of how clean the text is."""
    settings, seed = report.settings, report.data_seed
    documents, held_out, name, mark, changed = prepare(settings, seed)
    raw = [document.text for document in documents]
    began = time.monotonic()
    answer = evolve_task.call(
        "beside.py:clean",
        raw,
        [document.category for document in documents],
        seconds=float(settings["clean_seconds"]),
    )
    seconds = time.monotonic() - began
    cleaned, invented = measure.check(documents, answer)
    memory = check_memory(documents, cleaned, changed)

    budget = int(settings["budget"])
    held = stream(held_out, sum(len(text.encode("utf-8", "replace")) + 1 for text in held_out), 0)

    def learn(texts, on_progress=None):
        turns = range(int(settings["trainings"]))
        found = [
            bits_per_byte(
                stream(texts, budget, seed, turn),
                held,
                settings,
                seed,
                report.device,
                on_progress if not turn else None,
            )
            for turn in turns
        ]
        return sum(found) / len(found)

    bits = learn(cleaned, lambda step, value: report(step, bits_per_byte=value))
    worst = learn(raw)
    found = {"score": 1 - bits / worst, "bits_per_byte": bits, "raw_bits_per_byte": worst}
    if settings["plant"]:
        best = learn([document.clean for document in documents])
        # A program can also remove the corpus's natural noise; the score does not reward it.
        found |= {"oracle_bits_per_byte": best, "learned": min(1.0, (worst - bits) / max(worst - best, 1e-9))}
        books = measure.account(documents, cleaned)
        overall, parts = balance(books)
        found |= overall
        found["score"] = (found["learned"] + found["cleaned"]) / 2
        found["issue"], found["issue_lost"] = issues(books)
    else:
        parts = {}
    return {
        **found,
        **pairs(documents, cleaned, int(settings["pairs"])),
        **parts,
        "invented": invented,
        "memory": memory,
        "documents": len(documents),
        "documents_kept": sum(bool(text.strip()) for text in cleaned),
        "characters": sum(map(len, raw)),
        "characters_kept": sum(map(len, cleaned)),
        "characters_per_s": sum(map(len, raw)) / seconds,
        "data": name,
        "fingerprint": mark,
    }


def prepare(settings, seed):
    """Return documents for the candidate, held-out texts, the corpus's name and fingerprint, and changed lines."""
    folder = Path(__file__).parent
    wanted, held = int(settings["documents"]), int(settings["held_out"])
    if not settings["data"]:
        if not settings["plant"]:
            raise corpus.DataError("settings.plant = false needs documents with noise of their own: settings.data")
        drawn = corpus.installed(wanted, held, seed)
    else:
        sources = userdata.read(str(settings["data"]), folder, "data")
        name = Path(settings["data"]).name
        if not settings["plant"]:
            if not settings["held_out_data"]:
                raise corpus.DataError(
                    "settings.plant = false needs settings.held_out_data: clean text that the models are measured on"
                )
            clean = userdata.read(str(settings["held_out_data"]), folder, "held_out_data")
            drawn = corpus.Corpus(
                name,
                corpus.draw(name, sources, wanted, 0, seed).train,
                [corpus.Document(key, at, text) for key, texts in clean.items() for at, text in texts.items()],
            )
            documents = [
                Noisy(document.category, [Line(text, text) for text in document.text.splitlines()])
                for document in drawn.train
            ]
            return documents, [document.text for document in drawn.held_out], name, corpus.fingerprint(drawn), set()
        drawn = corpus.draw(name, sources, wanted, held, seed)
    drawn, changed = disturb(drawn, seed)
    held_out = [document.text for document in drawn.held_out]
    return plant(drawn, seed), held_out, drawn.name, corpus.fingerprint(drawn), changed


def balance(books):
    """Return the shares of noise removed and of good text kept: means over categories, and by issue and category."""
    shares = books.categories
    count = len(shares)
    overall = {
        "cleaned": sum(share.removed * share.recall for share in shares.values()) / count,
        "removed": sum(share.removed for share in shares.values()) / count,
        "kept": sum(share.recall for share in shares.values()) / count,
        "precision": sum(share.precision for share in shares.values()) / count,
    }
    found = {}
    for issue in ISSUES:
        noise = sum(share.noise for (_, kind), share in books.issues.items() if kind == issue)
        left = sum(share.left for (_, kind), share in books.issues.items() if kind == issue)
        if noise:
            found[f"removed_{issue}"] = max(0.0, 1 - left / noise)
    for category, share in shares.items():
        found[f"removed_{category}"] = share.removed
        found[f"kept_{category}"] = share.recall
        found[f"precision_{category}"] = share.precision
    return overall, found


def issues(books):
    """Describe the worst problems: the noise with the largest share left, and the category that lost most good text.

    Each is `TITLE: MEASUREMENT`; the title has no figures, so that the same issue always has the same title.
    """
    (category, issue), share = max(books.issues.items(), key=lambda item: item[1].left)
    whole = max(1, sum(item.left for item in books.categories.values()))
    left = (
        f"{issue} noise stays in {category}: {share.left / max(1, share.noise):.0%} of its {share.noise:,} characters "
        f"are still there, {share.left / whole:.0%} of all noise that is left"
    )
    category, share = min(books.categories.items(), key=lambda item: item[1].recall)
    lost = (
        f"good text is lost in {category}: {1 - share.recall:.1%} of its {share.clean:,} characters, while "
        f"{share.removed:.0%} of the noise there is removed"
    )
    return left, lost


def pairs(documents, cleaned, count):
    """Return excerpts of changed documents before and after, from each category in turn: `pairs`, `pairs_2`, …"""
    changed: dict[str, list[str]] = {}
    for document, made in zip(documents, cleaned, strict=True):
        if made != document.text:
            start = next((k for k, (a, b) in enumerate(zip(document.text, made, strict=False)) if a != b), 0)
            start = max(0, start - EXCERPT // 4)
            before, after = (text[start : start + EXCERPT] for text in (document.text, made))
            shown = (
                f"[{document.category}] {before!r} -> {after!r}"
                if made
                else f"[{document.category}] {before!r} -> gone"
            )
            changed.setdefault(document.category, []).append(shown)
    chosen = [text for turn in zip_longest(*changed.values()) for text in turn if text][:count]
    metrics = [""]
    for text in chosen:
        if len(metrics[-1]) + len(text) > METRIC:
            metrics.append("")
        metrics[-1] += f"{text[:METRIC]}\n"
    return {f"pairs_{k}" if k > 1 else "pairs": text.rstrip() for k, text in enumerate(metrics, 1)}
