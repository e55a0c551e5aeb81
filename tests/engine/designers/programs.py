"""Small programs, recipes and requests, shared by the tests of the designer."""

from __future__ import annotations

from typing import Any

from cognition.prior import Prior, parse_prior
from engine.designers.recombine.messages import Donor
from engine.llm.requests import ContextNode, DesignRequest
from engine.task.spec import Interface, Seed, TaskSpec

SEED = '''\
"""A sum of parts."""

import math

SIZE = 4
RATE = 0.5  # tune: scale 0.1..0.9
STEPS = 30  # tune: effort 5..200
UNREAD = 0.25


def first(x):
    """Scale a number."""
    return x * RATE


def second(x, y):
    # Kept: a comment inside.
    return math.hypot(x, y) + 0.75


def third():
    return 1


def total():
    return sum(first(k) for k in range(STEPS)) + second(SIZE, 2)
'''

RECIPE = '''\
import math
from itertools import accumulate

STEPS = 7  # tune: effort 1..20
_TABLE = [k * k for k in range(3)]


def _helper(x):
    return x + len(_TABLE)


def first(x):
    """Another way."""
    return sum(accumulate([_helper(x)] * STEPS)) + math.pi
'''
"""Its `STEPS` clashes with the seed's, which `total` reads."""

SPEC = TaskSpec(name="sum", direction="maximize", min_gain=0.01, interface=Interface(functions=["total"]))


class Scores(dict[int, float | None]):
    """Scores by node, filled as outcomes become known."""

    def gained(self, node: int, parent: int) -> bool:
        """Tell whether the node is better than its parent by more than noise."""
        score, before = self.get(node), self.get(parent)
        return score is not None and (before is None or SPEC.better(score, before))


SEEDS = [Seed("seed", SEED)]
COMPONENTS = frozenset({"first", "second", "third", "total"})


def prior(prior_id: str, *recipes: str, title: str = "") -> Prior:
    """Make a prior with recipes."""
    blocks = "\n".join(f"```python recipe\n{code}```\n" for code in recipes)
    return parse_prior(prior_id, f"# {title or prior_id}\n\n{blocks}")


def donor(code: str, key: str = "donor") -> Donor:
    """Make a recipe as it is sent to the child."""
    return Donor(key, code)


def request(seed: int = 0, code: str = SEED, **fields: Any) -> DesignRequest:
    """Make a request for a child of node 0."""
    defaults: dict[str, Any] = {
        "round": 1,
        "attempt": 0,
        "seed": seed,
        "parent": ContextNode(0, code, "ok", 1.0),
        "inspirations": [],
        "priors": [prior("other-way", RECIPE, title="Another way")],
    }
    return DesignRequest(**{**defaults, **fields})


def run(code: str) -> Any:
    """Return the result of a program."""
    namespace: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(code, "candidate", "exec"), namespace)
    return namespace["total"]()
