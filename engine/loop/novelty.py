"""Before an evaluation: find the measured node that a design resembles most, and refuse what behaves the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import Near
from engine.loop.session import RunSession
from engine.programs.minhash import sketch
from engine.programs.near import KINDS, Difference, NearIndex, difference, lines_of
from engine.programs.outline import ProgramError
from engine.state.node import Node, OpenRound
from engine.state.novelty import likely_same

__all__ = ["Embed", "NearWatch", "TooNear"]

Embed = Callable[[Sequence[str]], Awaitable[NDArray[np.float32] | None]]
"""Returns vectors of unit length [n, dim] of texts; None if there are none."""

_FOUND = 12
"""Programs that the index is asked for."""
_COMPARED = 2
"""Those of them, of each kind, whose change is compared in meaning."""
_CHECKED = 0.2
"""Chance that a design is measured although it would be refused: else nothing would show that the run has learned
something wrong."""
_SCALE = 2048
"""Cosines are rounded to multiples of this, as those of priors are: the same figures on every machine."""


class TooNear(ProgramError):
    """A program is so near to a measured one that it is not worth a measurement.

    Attributes:
        near: the node, and how alike they are.
    """

    def __init__(self, near: Near, same: int, seen: int) -> None:
        where = "all but the numbers" if near.kind == "numbers" else "the program"
        super().__init__(
            "near",
            f"{near.alike:.1%} like node {near.node} in {where}, and {same} of {seen} as alike behaved the same; "
            "change what the program computes",
        )
        self.near = near


class NearWatch:
    """Compare designs with what was measured.

    Args:
        session: the run.
        embed: embeds texts, to compare changes in meaning; None: lines alone are compared.
    """

    def __init__(self, session: RunSession, embed: Embed | None = None) -> None:
        self._session, self._embed = session, embed
        self._index = NearIndex()
        self._seen = 0

    async def look(self, code: str, parents: Sequence[int]) -> list[Near]:
        """Return the measured nodes that a program resembles most, the nearest one of each kind, the nearest first.

        Empty if none does, or if the settings ask for none. The program's parents are compared in any case.
        """
        state, comment = self._session.state, self._session.spec.language.comment
        if state.settings.novelty.near == "off":
            return []
        for node in state.nodes[self._seen :]:
            self._index.add(node.id, node.sketch)
        self._seen = len(state.nodes)
        found = dict.fromkeys([*parents, *self._index.nearest(sketch(code, comment), _FOUND)])
        measured = [state.nodes[node] for node in found if _is_measured(state.nodes[node])]
        mine = lines_of(code, comment)
        compared = [(node, difference(mine, self._lines(node))) for node in measured]
        compared.sort(key=lambda pair: (-pair[1].shared, -pair[0].id))
        kinds = {kind: [pair for pair in compared if pair[1].kind == kind and pair[1].shared] for kind in KINDS}
        chosen = [pair for pairs in kinds.values() for pair in pairs[:_COMPARED]]
        if not chosen:
            return []
        meanings = await self._meanings([found for _, found in chosen])
        nears = [_near(node, found, meaning) for (node, found), meaning in zip(chosen, meanings, strict=True)]
        nearest: dict[str, Near] = {}
        for near in sorted(nears, key=lambda near: (-near.alike, -near.node)):
            nearest.setdefault(near.kind, near)
        return list(nearest.values())

    def check(self, round_: OpenRound, nears: Sequence[Near]) -> None:
        """Refuse a design that most likely behaves as a measured node does, if the round may be asked again.

        Args:
            round_: its round.
            nears: what it resembles.

        Raises:
            TooNear: it does.
        """
        state = self._session.state
        settings, attempt = state.settings, len(round_.rejected)
        asked = sum(rejected.check == "near" for rejected in round_.rejected)
        if asked >= settings.novelty.asks or attempt + 1 >= settings.designer.attempts:
            return
        for near in nears:
            judged = likely_same(state.novelty, near)
            if judged is not None:
                if self._session.rng(round_.round, "novelty", attempt).random() < _CHECKED:
                    return
                raise TooNear(near, *judged)

    def _lines(self, node: Node) -> frozenset[str]:
        return lines_of(self._session.text(node.program), self._session.spec.language.comment)

    async def _meanings(self, found: Sequence[Difference]) -> list[float | None]:
        """Return how near in meaning what differs is, for each pair of programs."""
        if self._embed is None or self._session.state.settings.novelty.near != "meaning":
            return [None] * len(found)
        texts = [text for pair in found for text in ("\n".join(pair.gone), "\n".join(pair.come))]
        vectors = await self._embed(texts)
        if vectors is None:
            return [None] * len(found)
        rounded = np.rint(vectors * _SCALE).astype(np.int64)
        cosines = (rounded[::2] * rounded[1::2]).sum(axis=1) / _SCALE**2
        return [min(1.0, max(0.0, float(cosine))) for cosine in cosines]


def _is_measured(node: Node) -> bool:
    return node.status == "ok" and node.score is not None and node.taken_from is None


def _near(node: Node, found: Difference, meaning: float | None) -> Near:
    alike = found.shared + (1.0 - found.shared) * (meaning or 0.0)
    return Near(node.id, round(min(1.0, alike), 5), found.kind, meaning is not None)
