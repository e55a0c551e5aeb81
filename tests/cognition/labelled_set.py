"""The labelled set: priors of the tasks' fields, lessons as questions, and metrics of a ranking."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cognition.files import PriorFolder
from cognition.prior import Prior, parse_prior
from cognition.retrieve import Retriever

__all__ = ["AT", "Question", "load_paraphrases", "load_priors", "load_questions", "ndcg", "orders", "recall"]

AT = 5
"""How many of the best are judged."""
_FOLDER = Path(__file__).parent / "labelled"
_CIRCLE_PACKING = Path(__file__).parents[2] / "engine" / "tasks" / "circle_packing" / "priors"


@dataclass(frozen=True)
class Question:
    """A question and the priors that fit."""

    texts: tuple[str, ...]
    relevant: Mapping[str, int]
    """Grade by id. 2: the right prior, 1: helps too."""


def load_priors() -> list[Prior]:
    """Return the priors of the task circle_packing and those of the set, sorted by id."""
    found = PriorFolder(_CIRCLE_PACKING).read()
    for path in sorted(_FOLDER.glob("*.toml")):
        for item in tomllib.loads(path.read_text(encoding="utf-8")).get("prior", []):
            text = f"---\ntags: {item['tags']}\n---\n\n# {item['title']}\n\n{item['body'].strip()}\n"
            found.append(parse_prior(item["id"], text))
    return sorted(found, key=lambda prior: prior.id)


def load_questions() -> list[Question]:
    """Return the questions in the order of the file."""
    table = tomllib.loads((_FOLDER / "queries.toml").read_text(encoding="utf-8"))
    return [Question(tuple(item["texts"]), item["relevant"]) for item in table["query"]]


def load_paraphrases() -> list[Question]:
    """Return questions that share no content word with the one prior that fits, in the order of the file."""
    table = tomllib.loads((_FOLDER / "paraphrases.toml").read_text(encoding="utf-8"))
    return [Question((text,), {prior: 2}) for task in table.values() for prior, text in task.items()]


def orders(retriever: Retriever, priors: Sequence[Prior], questions: Sequence[Question]) -> list[list[str]]:
    """Return the ids of the best priors for every question."""
    found = []
    for question in questions:
        found.append([hit.prior.id for hit in retriever.search(priors, question.texts, AT)])
        assert not retriever.problem, retriever.problem
    return found


def ndcg(order: Sequence[str], relevant: Mapping[str, int]) -> float:
    """Return the normalised discounted cumulative gain of the first five, with gains 3 and 1 for grades 2 and 1."""
    best = sorted(relevant.values(), reverse=True)[:AT]
    return _gain([relevant.get(name, 0) for name in order[:AT]]) / _gain(best)


def recall(order: Sequence[str], relevant: Mapping[str, int]) -> float:
    """Return the share of the right priors that is among the first five."""
    meant = [name for name, grade in relevant.items() if grade == 2]
    return sum(name in order[:AT] for name in meant) / min(len(meant), AT)


def _gain(grades: Sequence[int]) -> float:
    return sum((2**grade - 1) / math.log2(place + 1) for place, grade in enumerate(grades, 1))
