"""Read pairs of drugs and proteins from CSV files, and split them into training and held-out sets."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COLUMNS = ("SMILES", "Protein", "Y")
SPLITS = ("random", "unseen_drug", "unseen_protein", "unseen_both")


class DataError(Exception):
    """The data cannot be used; the message names the file and the row and says what to do."""


@dataclass
class Dataset:
    """Pairs by index: `pairs[k]` is (drug, protein), `labels[k]` is 1 if they interact, else 0."""

    name: str
    """The name of the data in reports: that of a file or folder, or `synthetic`."""
    smiles: list[str]
    proteins: list[str]
    pairs: np.ndarray
    """Shape (n, 2), int32."""
    labels: np.ndarray
    """Shape (n,), uint8."""
    places: list[str]
    """File and row where each drug occurs first, for messages."""
    parts: np.ndarray | None = None
    """Shape (n,): 0 training, 1 validation, 2 test, if the data are already split; else None."""


@dataclass
class Split:
    """Indices of pairs for training and for choosing thresholds, and the held-out sets by name."""

    train: np.ndarray
    val: np.ndarray
    tests: dict[str, np.ndarray]


def load(path: str, folder: Path) -> Dataset:
    """Read a CSV file, or a folder with train, val and test.

    Args:
        path: as in the settings; relative ones start at the task's folder.
        folder: the task's folder.

    Raises:
        DataError: it is missing, or a row of it cannot be used.
    """
    full = folder / Path(path).expanduser()
    collector = _Collector(full.name)
    if full.is_dir():
        for part, name in enumerate(("train", "val", "test")):
            existing = [file for end in (".csv", ".csv.gz") if (file := full / (name + end)).is_file()]
            if not existing:
                raise DataError(f"{full} has no {name}.csv: a folder must hold train.csv, val.csv and test.csv")
            collector.read(existing[0], part)
        return collector.finish(split=True)
    if not full.is_file():
        raise DataError(
            f"there is no file or folder {full} (settings.data): "
            "correct the path, and name folders outside the task's own in `mounts` of task.toml"
        )
    collector.read(full, 0)
    return collector.finish(split=False)


class _Collector:
    """Assign indices to drugs and proteins in the order of reading."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.drugs: dict[str, int] = {}
        self.proteins: dict[str, int] = {}
        self.places: list[str] = []
        self.rows: list[tuple[int, int, int, int]] = []

    def read(self, file: Path, part: int) -> None:
        before = len(self.rows)
        opened = gzip.open if file.suffix == ".gz" else open
        try:
            with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
                self._read(csv.DictReader(lines), file, part)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as exc:
            raise DataError(f"{file} cannot be read: {exc}") from None
        if len(self.rows) == before:
            raise DataError(f"{file} holds no pairs")

    def _read(self, reader: csv.DictReader, file: Path, part: int) -> None:
        header = reader.fieldnames or []
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise DataError(
                f"{file} has no column {', '.join(missing)}: it must have SMILES, Protein and Y, "
                f"and has {', '.join(map(str, header)) or 'none'}"
            )
        for row in reader:
            where = f"{file}, row {reader.line_num}"
            smiles, protein, label = ((row[column] or "").strip() for column in COLUMNS)
            if not smiles:
                raise DataError(f"{where}: SMILES is empty")
            if not (protein.isascii() and protein.isalpha()):
                raise DataError(f"{where}: Protein must be a sequence of letters, not {protein[:40]!r}")
            if label not in ("0", "1", "0.0", "1.0"):
                raise DataError(f"{where}: Y must be 0 or 1, not {label[:40]!r}")
            if smiles not in self.drugs:
                self.drugs[smiles] = len(self.drugs)
                self.places.append(where)
            residues = protein.upper()
            number = self.proteins.setdefault(residues, len(self.proteins))
            self.rows.append((self.drugs[smiles], number, label[0] == "1", part))

    def finish(self, split: bool) -> Dataset:
        rows = np.array(self.rows, dtype=np.int32)
        return Dataset(
            name=self.name,
            smiles=list(self.drugs),
            proteins=list(self.proteins),
            pairs=rows[:, :2].copy(),
            labels=rows[:, 2].astype(np.uint8),
            places=self.places,
            parts=rows[:, 3].copy() if split else None,
        )


def split_pairs(data: Dataset, kind: str, unseen: float, test: float, val: float, seed: int) -> Split:
    """Split the pairs into training, validation and held-out sets.

    Args:
        data: the pairs; a split in the data is kept, and its held-out set is called `test`.
        kind: one of `SPLITS`, or `all` for one training set and all four held-out sets.
        unseen: share of drugs, and of proteins, that occur in no training pair.
        test: share of the pairs of seen drugs and proteins that is held out for `random`.
        val: share of the other seen pairs, used to choose thresholds.
        seed: seed of the draw.

    Raises:
        DataError: a set lacks positive or negative pairs.
    """
    rng = np.random.default_rng([seed, 11])
    if data.parts is not None:
        split = Split(
            *(np.flatnonzero(data.parts == part) for part in (0, 1)), {"test": np.flatnonzero(data.parts == 2)}
        )
    else:
        if kind != "all" and kind not in SPLITS:
            raise DataError(f"settings.split is {kind!r}; it must be all, {', '.join(SPLITS)}")
        drugs = _draw(rng, len(data.smiles), unseen if kind in ("all", "unseen_drug", "unseen_both") else 0)
        proteins = _draw(rng, len(data.proteins), unseen if kind in ("all", "unseen_protein", "unseen_both") else 0)
        new_drug, new_protein = drugs[data.pairs[:, 0]], proteins[data.pairs[:, 1]]
        seen = rng.permutation(np.flatnonzero(~new_drug & ~new_protein))
        held = round(len(seen) * test) if kind in ("all", "random") else 0
        sets = {
            "random": np.sort(seen[:held]),
            "unseen_drug": np.flatnonzero(new_drug & ~new_protein),
            "unseen_protein": np.flatnonzero(~new_drug & new_protein),
            "unseen_both": np.flatnonzero(new_drug & new_protein),
        }
        chosen = held + max(1, round((len(seen) - held) * val))
        tests = sets if kind == "all" else {kind: sets[kind]}
        split = Split(np.sort(seen[chosen:]), np.sort(seen[held:chosen]), tests)
    for name, rows in {"training": split.train, "validation": split.val, **split.tests}.items():
        if len(set(data.labels[rows].tolist())) < 2:
            raise DataError(
                f"{data.name}: the {name} set has {len(rows)} pairs and not both kinds of label: "
                "more pairs, or other shares in the settings, are needed"
            )
    return split


def _draw(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """Draw a mask of the unseen among `count` items."""
    chosen = np.zeros(count, dtype=bool)
    chosen[rng.permutation(count)[: round(count * share)]] = True
    return chosen
