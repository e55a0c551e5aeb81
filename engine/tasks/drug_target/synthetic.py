"""Generate synthetic drug-target pairs with planted structure: chemical groups that fit sequence motifs to a degree.

The rule has no biological basis. It keeps what makes the real problem hard: binding depends on local features (a group
of a few atoms, a motif of a few residues) among many irrelevant ones; part of it depends on the drug or the protein
alone and is learnt early, the rest on both together; drugs differ in how often they bind, which a model can memorise
for seen drugs and which says nothing about others; and labels are noisy.
"""

from __future__ import annotations

import numpy as np
from dataset import Dataset

SCAFFOLDS = (
    "c1cc({})cc({})c1{}",
    "c1nc({})cc({})c1{}",
    "c1nc({})nc({})c1{}",
    "C1CC({})CC({})C1{}",
    "C1CN({})CC({})C1{}",
    "O1CC({})CC({})C1{}",
    "c1c({})oc({})c1{}",
    "c1c({})sc({})c1{}",
    "c1cc2cc({})cc({})c2cc1{}",
    "c1cc2nc({})cc({})c2cc1{}",
    "C({})CC({})CC{}",
    "N({})CC({})CCC{}",
    "C1CC2CC({})CC({})C2CC1{}",
    "c1ccc(cc1)C({})CC({})C{}",
)
GROUPS = ("C(=O)NC", "NC(=O)C", "S(=O)(=O)NC", "NS(=O)(=O)C", "C(=O)OC", "OC(=O)C", "C#N", "C(F)(F)F")
"""The first six are amides, sulfonamides and esters in both orientations: equal atoms that differ only in the graph."""
PLAIN = ("C", "CC", "C(C)C", "OC", "C3CC3", "c3ccccc3", "O", "F", "N(C)C", "Cl", "SC", "C(=O)C", "NC", "CO")
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
BACKGROUND = np.array(
    [8.3, 1.4, 5.5, 6.7, 3.9, 7.1, 2.3, 5.9, 5.8, 9.7, 2.4, 4.1, 4.7, 3.9, 5.5, 6.6, 5.3, 6.9, 1.1, 2.9]
)
"""Frequencies of residues in proteins in per cent, in the order of `RESIDUES`."""

MOTIF = 6
FIDELITY = 0.95
SHARED = 0.5
"""Share of the fits' variance that depends on the group alone or the motif alone."""
TASTE = 3.0
"""Both parameters of the beta distribution of each drug's share of binding pairs."""
NOISE = 0.04


def generate(drugs: int, proteins: int, pairs: int, seed: int) -> Dataset:
    """Draw a planted rule, molecules, sequences and labelled pairs, about half of them positive.

    Args:
        drugs: the most different molecules.
        proteins: number of sequences, of 40 to 90 residues.
        pairs: number of different pairs.
        seed: seed of the whole set.
    """
    rng = np.random.default_rng([seed, 7])
    motifs = rng.choice(20, (len(GROUPS), MOTIF), p=BACKGROUND / BACKGROUND.sum())
    fits = _fits(rng, len(GROUPS))
    smiles, groups = _molecules(rng, drugs)
    sequences, sites = _sequences(rng, proteins, motifs)
    affinity = groups.astype(float) @ fits @ sites.T.astype(float)
    binds = affinity > np.median(affinity)
    chosen = _pairs(rng, binds, min(pairs, binds.size))
    labels = binds[chosen[:, 0], chosen[:, 1]] ^ (rng.random(len(chosen)) < NOISE)
    return Dataset(
        name="synthetic",
        smiles=smiles,
        proteins=sequences,
        pairs=chosen.astype(np.int32),
        labels=labels.astype(np.uint8),
        places=["the synthetic set"] * len(smiles),
    )


def _fits(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw how well each group fits each motif, with variance one.

    Strengths of groups and motifs are evenly spaced, and the remainder is centred in rows and columns, so that sets of
    different seeds are about equally hard.
    """
    even = np.linspace(-1, 1, size)
    even = even / even.std()
    own = (rng.permutation(even)[:, None] + rng.permutation(even)) / 2**0.5
    both = rng.standard_normal((size, size))
    both = both - both.mean(0) - both.mean(1, keepdims=True) + both.mean()
    return SHARED**0.5 * own + (1 - SHARED) ** 0.5 * both / both.std()


def _molecules(rng: np.random.Generator, count: int) -> tuple[list[str], np.ndarray]:
    """Draw scaffolds with three substituents, one or two of them from `GROUPS`; return them and their groups."""
    found: dict[str, np.ndarray] = {}
    for _ in range(20 * count):
        held = np.zeros(len(GROUPS), dtype=bool)
        placed = rng.choice(len(GROUPS), rng.integers(1, 3), replace=False)
        held[placed] = True
        parts = [GROUPS[k] for k in placed] + [PLAIN[k] for k in rng.integers(len(PLAIN), size=3 - len(placed))]
        scaffold = SCAFFOLDS[rng.integers(len(SCAFFOLDS))]
        found.setdefault(scaffold.format(*rng.permutation(np.array(parts, dtype=object))), held)
        if len(found) == count:
            break
    return list(found), np.array(list(found.values()))


def _sequences(rng: np.random.Generator, count: int, motifs: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Draw sequences with one or two motifs, with some residues changed; return them and their motifs."""
    texts, sites = [], np.zeros((count, len(motifs)), dtype=bool)
    for number in range(count):
        length = int(rng.integers(40, 91))
        sequence = rng.choice(20, length, p=BACKGROUND / BACKGROUND.sum())
        placed = rng.choice(len(motifs), rng.integers(1, 3), replace=False)
        slots = rng.choice(length // MOTIF, len(placed), replace=False) * MOTIF
        for motif, start in zip(placed, slots, strict=True):
            kept = rng.random(MOTIF) < FIDELITY
            sequence[start : start + MOTIF][kept] = motifs[motif][kept]
            sites[number, motif] = True
        texts.append("".join(RESIDUES[k] for k in sequence))
    return texts, sites


def _pairs(rng: np.random.Generator, binds: np.ndarray, count: int) -> np.ndarray:
    """Draw pairs: half of them are positive overall, but the share varies widely between drugs."""
    taste = rng.beta(TASTE, TASTE, len(binds))
    weight = np.where(binds, taste[:, None], 1 - taste[:, None])
    weight = np.where(binds, weight / weight[binds].sum(), weight / weight[~binds].sum()).ravel()
    keys = rng.random(binds.size) ** (1 / np.maximum(weight / weight.max(), 1e-9))
    return np.column_stack(np.unravel_index(np.argsort(-keys, kind="stable")[:count], binds.shape))
