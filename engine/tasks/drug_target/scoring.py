"""How good predictions are, and where they fail: by held-out set, by length of the protein, by scaffold of the drug."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, matthews_corrcoef, precision_recall_curve, roc_auc_score

LEAST = 8
"""Pairs that a scaffold must have among the held-out ones to be told of."""


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The logit above which calling a pair an interaction gives the best F1."""
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def measure(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """AUROC, AUPRC, F1 and MCC; the labels must be of both kinds."""
    called = scores >= threshold
    return {
        "auroc": float(roc_auc_score(labels, scores)),
        "auprc": float(average_precision_score(labels, scores)),
        "f1": float(f1_score(labels, called, zero_division=0.0)),
        "mcc": float(matthews_corrcoef(labels, called)),
    }


def failure_modes(
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    lengths: np.ndarray,
    scaffolds: Sequence[str],
    known: set[str],
) -> tuple[dict[str, float | None], str]:
    """Where held-out pairs go wrong.

    Args:
        labels: 0 or 1 of each pair.
        scores: logits of each pair.
        threshold: above it a pair is called an interaction.
        lengths: residues of each pair's protein.
        scaffolds: Murcko scaffold of each pair's drug.
        known: scaffolds that training drugs have.

    Returns:
        AUROC by third of protein length and by whether the scaffold is known (None where that cannot be told), and
        one paragraph for whoever analyses the program.
    """
    cuts = np.quantile(lengths, [1 / 3, 2 / 3])
    third = np.searchsorted(cuts, lengths, side="right")
    is_known = np.array([name in known for name in scaffolds])
    groups = {
        "protein_short": third == 0,
        "protein_medium": third == 1,
        "protein_long": third == 2,
        "scaffold_known": is_known,
        "scaffold_new": ~is_known,
    }
    found = {f"auroc_{name}": _auroc(labels[rows], scores[rows]) for name, rows in groups.items()}
    wrong = (scores >= threshold) != labels.astype(bool)
    by_scaffold: dict[str, list[bool]] = {}
    for name, error in zip(scaffolds, wrong, strict=True):
        by_scaffold.setdefault(name, []).append(bool(error))
    worst = sorted(
        ((np.mean(errors), name, len(errors)) for name, errors in by_scaffold.items() if len(errors) >= LEAST),
        key=lambda item: (-item[0], item[1]),
    )[:3]
    parts = [f"{name.replace('_', ' ')} {found[f'auroc_{name}']:.3f}" for name in groups if found[f"auroc_{name}"]]
    missed, false = int((wrong & (labels == 1)).sum()), int((wrong & (labels == 0)).sum())
    text = (
        f"AUROC by thirds of protein length (up to {cuts[0]:.0f}, up to {cuts[1]:.0f}, longer) and by scaffold: "
        f"{', '.join(parts)}. {missed} interactions missed and {false} false alarms among {len(labels)} held-out pairs."
    )
    if worst:
        told = "; ".join(f"{name} ({share:.0%} of {count} pairs wrong)" for share, name, count in worst)
        text += f" Worst scaffolds: {told}."
    return found, text


def _auroc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    return float(roc_auc_score(labels, scores)) if len(set(labels.tolist())) == 2 else None
