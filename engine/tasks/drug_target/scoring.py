"""Measure the quality of predictions, and find where they fail: by protein length and by scaffold of the drug."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, matthews_corrcoef, precision_recall_curve, roc_auc_score

LEAST = 8
"""The least number of held-out pairs with which a scaffold is reported."""


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the threshold with the best F1: a pair with a logit above it counts as an interaction."""
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[int(np.argmax(f1[:-1]))])


def measure(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """Return AUROC, AUPRC, F1 and MCC; there must be positive and negative labels."""
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
    """Find the kinds of held-out pairs with most errors.

    Args:
        labels: 0 or 1 for each pair.
        scores: logit of each pair.
        threshold: logits above it count as interactions.
        lengths: residues of each pair's protein.
        scaffolds: Murcko scaffold of each pair's drug.
        known: scaffolds of training drugs.

    Returns:
        AUROC by third of protein length and by whether the scaffold is known (None if it is undefined), and one
        paragraph for the analysis of the program.
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
        listed = "; ".join(f"{name} ({share:.0%} of {count} pairs wrong)" for share, name, count in worst)
        text += f" Worst scaffolds: {listed}."
    return found, text


def _auroc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    return float(roc_auc_score(labels, scores)) if len(set(labels.tolist())) == 2 else None
