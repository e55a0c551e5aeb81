"""Drug-target interaction: data, splits, trainer and evaluator, and that every recipe makes a valid program."""

from __future__ import annotations

import csv
import gzip
import importlib
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cognition.prior import Prior
from engine.evaluation import evolve_task
from engine.evaluation.sandbox import find_sandbox
from tests.engine.tasks.builtin import BuiltIn, Report
from tests.needs import require

require("torch", "rdkit", "sklearn")

DRUG = BuiltIn("drug_target")
SEED = DRUG.seed
ROLES = {
    "drug_layer",
    "protein_kernels",
    "protein_layer",
    "interaction",
    "classifier",
    "augment",
    "pair_loss",
    "optimizer",
    "learning_rate",
}
TINY = {"drugs": 50, "proteins": 40, "pairs": 300, "steps": 3, "batch": 8, "width": 8}


class Refused(Exception):
    """An error that the candidate's sandbox would have reported."""


class Parts:
    """The task's modules, in this process; candidates run in it too."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.curve: list[tuple[float | None, dict[str, float]]] = []
        self.harness = types.ModuleType("evolve_task")
        vars(self.harness).update(
            Invalid=evolve_task.Invalid,
            call=self.call,
            Session=self.session,
        )

    def __getattr__(self, name: str) -> Any:
        return importlib.import_module(name)

    @contextmanager
    def session(self, file: str) -> Iterator[Any]:
        """A process of its own: program and trainer are loaded anew."""
        self.load()
        yield types.SimpleNamespace(call=self.call)

    def load(self) -> None:
        program = types.ModuleType("program")
        sys.modules["program"] = program
        exec(compile(self.code, "candidate", "exec"), program.__dict__)
        sys.modules.pop("trainer", None)

    def call(self, name: str, *args: Any) -> Any:
        function = name if ":" in name else f"trainer.py:{name}"
        args = evolve_task._decode(evolve_task._encode(args))
        self.calls.append((function.partition(":")[2], args))
        try:
            return getattr(self.trainer, function.partition(":")[2])(*args)
        except Exception as exc:
            raise Refused(f"{type(exc).__name__}: {exc}") from exc

    def run(self, code: str, seed: int = 3, **settings: Any) -> dict[str, Any]:
        """Return what `evaluate` returns for a program."""
        self.code = code
        self.load()
        report = Report(DRUG, **{**TINY, **settings})
        report.data_seed, report.sandbox_seed, report.seen = seed, seed + 1, self.curve
        found: dict[str, Any] = self.evaluate.evaluate("program.py", report)
        return found


@pytest.fixture
def parts() -> Iterator[Parts]:
    import torch

    threads, deterministic = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    parts = Parts()
    with DRUG.importable(parts.harness):
        yield parts
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(deterministic)


def write(path: Path, rows: list[list[object]], header: tuple[str, ...] = ("SMILES", "Protein", "Y")) -> Path:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", newline="") as file:  # type: ignore[operator]
        csv.writer(file).writerows([header, *rows])
    return path


def made_up(parts: Parts, count: int = 400) -> list[list[object]]:
    """Return rows of a synthetic CSV."""
    data = parts.synthetic.generate(60, 50, count, 5)
    return [
        [data.smiles[drug], data.proteins[protein], label]
        for (drug, protein), label in zip(data.pairs.tolist(), data.labels.tolist(), strict=True)
    ]


# Data


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("smiles,Protein,Y\nC,MK,1\n", r"pairs.csv has no column SMILES: .* has smiles, Protein, Y"),
        ("", r"pairs.csv has no column SMILES, Protein, Y: .* has none"),
        ("SMILES,Protein,Y\n", r"pairs.csv holds no pairs"),
        ("SMILES,Protein,Y\nC,MK,1\n,MK,1\n", r"pairs.csv, row 3: SMILES is empty"),
        ("SMILES,Protein,Y\nC,MK,1\nC,MK,2\n", r"pairs.csv, row 3: Y must be 0 or 1, not '2'"),
        ("SMILES,Protein,Y\nC,MK,yes\n", r"pairs.csv, row 2: Y must be 0 or 1, not 'yes'"),
        ("SMILES,Protein,Y\nC,MK\n", r"pairs.csv, row 2: Y must be 0 or 1, not ''"),
        ("SMILES,Protein,Y\nC,M K7,1\n", r"pairs.csv, row 2: Protein must be a sequence of letters, not 'M K7'"),
        ("SMILES,Protein,Y\nC,,1\n", r"pairs.csv, row 2: Protein must be"),
    ],
)
def test_bad_rows_are_reported_with_file_and_row(parts: Parts, tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(parts.dataset.DataError, match=why):
        parts.dataset.load("pairs.csv", tmp_path)


def test_missing_and_unreadable_data_give_advice(parts: Parts, tmp_path: Path) -> None:
    error = parts.dataset.DataError
    with pytest.raises(error, match=r"no file or folder .*/gone.csv .*`mounts`"):
        parts.dataset.load("gone.csv", tmp_path)
    (tmp_path / "human").mkdir()
    with pytest.raises(error, match=r"human has no train.csv"):
        parts.dataset.load("human", tmp_path)
    (tmp_path / "pairs.csv").write_bytes(b"SMILES,Protein,Y\n\xff\xfe,MK,1\n")
    with pytest.raises(error, match=r"pairs.csv cannot be read"):
        parts.dataset.load("pairs.csv", tmp_path)
    (tmp_path / "pairs.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(error, match=r"pairs.csv.gz cannot be read"):
        parts.dataset.load("pairs.csv.gz", tmp_path)


def test_invalid_smiles_are_reported_with_file_and_row(parts: Parts, tmp_path: Path) -> None:
    write(tmp_path / "pairs.csv", [["CCO", "MKV", 1], ["C1CC", "MKV", 0], ["xyz", "MKV", 0], ["C1CC", "MK", 0]])
    data = parts.dataset.load("pairs.csv", tmp_path)
    with pytest.raises(parts.dataset.DataError, match=r"pairs.csv, row 3: 'C1CC'; .*pairs.csv, row 4: 'xyz':"):
        parts.features.featurise(data, 64, 256)


def test_split_of_folder_is_kept(parts: Parts, tmp_path: Path) -> None:
    write(tmp_path / "train.csv.gz", [["CCO", "MKV", 1], ["CCN", "MKV", 0]])
    write(tmp_path / "val.csv", [["CCO", "MK", 1.0], ["CCN", "mkv", 0.0]])
    write(tmp_path / "test.csv", [["CCC", "MK", 1], ["CCN", "MK", 0]])
    data = parts.dataset.load(str(tmp_path), Path("/elsewhere"))
    split = parts.dataset.split_pairs(data, "all", 0.25, 0.2, 0.1, 0)
    assert (data.smiles, data.proteins) == (["CCO", "CCN", "CCC"], ["MKV", "MK"])
    assert split.train.tolist() == [0, 1] and split.val.tolist() == [2, 3]
    assert {name: rows.tolist() for name, rows in split.tests.items()} == {"test": [4, 5]}


def test_features_of_known_molecules(parts: Parts) -> None:
    data = parts.dataset.Dataset("x", ["CC(=O)O", "c1cc[nH]c1", "[O-]C#N"], ["ACZ", "Y"], None, None, ["a", "b", "c"])
    found = parts.features.featurise(data, 4, 2)
    assert found["atoms"].shape == (4 + 4 + 3, parts.features.ATOM_FEATURES)
    kinds = [found["bonds"][found["bond_start"][k] : found["bond_start"][k + 1], 2].tolist() for k in range(3)]
    # The pyrrole is cut after four of its five atoms; the bonds of the fifth are lost.
    assert kinds == [[1, 2, 1], [4, 4, 4], [1, 3]]
    assert found["residues"].tolist() == [1, 2, 20] and found["residue_start"].tolist() == [0, 2, 3]
    assert found["atoms"][8, -1] == 1 and found["atoms"][:8, -1].sum() == 0
    assert parts.features.featurise(data, 4, 3)["residues"].tolist() == [1, 2, 21, 20]
    assert parts.features.scaffolds(["CC(=O)O", "Cc1ccccc1"]) == ["none", "c1ccccc1"]


@pytest.mark.parametrize("kind", ["all", "random", "unseen_drug", "unseen_protein", "unseen_both"])
@pytest.mark.parametrize("seed", [0, 1])
def test_unseen_sets_share_nothing_with_training(parts: Parts, kind: str, seed: int) -> None:
    data = parts.synthetic.generate(80, 60, 1500, seed)
    split = parts.dataset.split_pairs(data, kind, 0.25, 0.2, 0.1, seed)
    seen_drugs, seen_proteins = (set(data.pairs[split.train, side].tolist()) for side in (0, 1))
    assert set(split.tests) == (set(parts.dataset.SPLITS) if kind == "all" else {kind})
    for name, rows in split.tests.items():
        drugs, proteins = (set(data.pairs[rows, side].tolist()) for side in (0, 1))
        if name in ("unseen_drug", "unseen_both"):
            assert not drugs & seen_drugs
        if name in ("unseen_protein", "unseen_both"):
            assert not proteins & seen_proteins
    every = np.concatenate([split.train, split.val, *split.tests.values()]).tolist()
    assert len(every) == len(set(every))
    again = parts.dataset.split_pairs(data, kind, 0.25, 0.2, 0.1, seed)
    assert again.train.tolist() == split.train.tolist()


def test_set_without_both_labels_is_refused(parts: Parts) -> None:
    data = parts.synthetic.generate(30, 30, 200, 0)
    data.labels[:] = 1
    with pytest.raises(parts.dataset.DataError, match=r"synthetic: the training set has .* pairs and not both kinds"):
        parts.dataset.split_pairs(data, "all", 0.25, 0.2, 0.1, 0)
    with pytest.raises(parts.dataset.DataError, match=r"settings.split is 'cold'; it must be all, random"):
        parts.dataset.split_pairs(data, "cold", 0.25, 0.2, 0.1, 0)


def test_synthetic_set_depends_on_seed_and_has_valid_molecules(parts: Parts) -> None:
    one, two, other = (parts.synthetic.generate(100, 50, 1000, seed) for seed in (1, 1, 2))
    assert one.name == "synthetic" and one.smiles == two.smiles and (one.labels == two.labels).all()
    assert one.proteins != other.proteins
    assert len(set(one.smiles)) == 100 and len({tuple(pair) for pair in one.pairs.tolist()}) == 1000
    assert 0.4 < one.labels.mean() < 0.6
    parts.features.featurise(one, 64, 256)


@pytest.mark.parametrize("seed", [0, 1])
def test_half_of_fit_variance_depends_on_one_side(parts: Parts, seed: int) -> None:
    fits = parts.synthetic._fits(np.random.default_rng(seed), 8)
    own = fits.mean(0) + fits.mean(1, keepdims=True) - fits.mean()
    assert fits.var() == pytest.approx(1) and own.var() == pytest.approx(parts.synthetic.SHARED)


def test_metrics_and_failure_modes(parts: Parts) -> None:
    labels, scores = np.array([1, 1, 0, 0, 1, 0]), np.array([3.0, 2.0, 1.0, -1.0, -2.0, -3.0])
    assert parts.scoring.best_threshold(labels, scores) == 2.0
    found = parts.scoring.measure(labels, scores, 2.0)
    assert found["auroc"] == pytest.approx(7 / 9)
    assert found["f1"] == pytest.approx(0.8) and found["mcc"] == pytest.approx(2**-0.5)
    names = ["good"] * 8 + ["bad"] * 8
    labels = np.array([0, 1] * 8)
    scores = np.where(np.arange(16) < 8, labels, 1 - labels) - 0.5
    modes, text = parts.scoring.failure_modes(labels, scores, 0.0, np.arange(16), names, {"good"})
    assert modes["auroc_scaffold_known"] == 1.0 and modes["auroc_scaffold_new"] == 0.0
    assert modes["auroc_protein_short"] == 1.0 and modes["auroc_protein_long"] == 0.0
    assert "Worst scaffolds: bad (100% of 8 pairs wrong)" in text and "4 interactions missed" in text


# The trainer and the evaluator


def test_seed_program_learns_and_equal_seeds_repeat(parts: Parts) -> None:
    found = parts.run(SEED, steps=24, batch=16)
    assert [step for step, _ in parts.curve] == [8, 16, 24]
    losses = [values["loss"] for _, values in parts.curve]
    assert losses[-1] < losses[0]
    names = ("auroc", "auprc", "f1", "mcc")
    assert {f"{name}_{split}" for name in names for split in parts.dataset.SPLITS} <= set(found)
    assert found["score"] == pytest.approx((found["auroc"] + found["auprc"]) / 2)
    assert found["data"] == "synthetic" and found["pairs_per_s"] > 0 and "thirds of protein length" in found["failures"]
    assert parts.run(SEED, steps=24, batch=16)["score"] == found["score"]
    assert parts.run(SEED, seed=4, steps=24, batch=16)["score"] != found["score"]


def test_training_gets_no_held_out_pair_and_prediction_no_label(parts: Parts) -> None:
    parts.run(SEED)
    data = parts.synthetic.generate(TINY["drugs"], TINY["proteins"], TINY["pairs"], 3)
    split = parts.dataset.split_pairs(data, "all", 0.25, 0.2, 0.1, 3)
    begun = [args for name, args in parts.calls if name == "begin"]
    (predict,) = [args for name, args in parts.calls if name == "predict"]
    assert len(begun) == 2, "what trains, and what repeats some steps"
    features, pairs, labels, _ = begun[0]
    assert len(pairs) == len(split.train) and labels.tolist() == data.labels[split.train].tolist()
    assert len(features["atom_start"]) - 1 == len(set(data.pairs[split.train, 0].tolist()))
    assert len(features["residue_start"]) - 1 == len(set(data.pairs[split.train, 1].tolist()))
    state, features, pairs, options = predict
    assert set(features) == {"atoms", "atom_start", "bonds", "bond_start", "residues", "residue_start"}
    assert pairs.shape[1] == 2 and all(isinstance(value, np.ndarray) for value in state.values())
    assert set(options) == {"sizes", "steps", "batch", "threads", "seed", "cuda"}


WRAPPED = """
class Wrapped(Model):
    def forward(self, batch):
        logits = super().forward(batch)
        return %s


def build_model(sizes):
    return Wrapped(sizes)
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (WRAPPED % "logits - (0 if self.training else logits.mean())", r"depends on .* moved by [\d.e-]+, more than"),
        (WRAPPED % "logits + 0.1 * torch.rand_like(logits)", r"depends on .* moved by"),
        (WRAPPED % "logits / 0 * 0 if not self.training else logits", r"predictions are not finite"),
        (
            "\n\ndef classifier(size):\n    return nn.Sequential(nn.Linear(size, 40_000), nn.Linear(40_000, 1))\n",
            r"the model keeps \d+,\d+ numbers, more than max_parameters = 300,000",
        ),
        (
            "\n\ndef training_loss(model, batch, labels):\n"
            "    with torch.no_grad():\n        model.atoms.weight.mul_(1.1)\n"
            "    return pair_loss(model(batch), labels)\n",
            r"ValueError: step 1: weights were changed outside the optimizer's step|cannot be repeated",
        ),
        ("\n\ndef pair_loss(logits, labels):\n    return logits.mean() * float('nan')\n", r"step 0: the loss is nan"),
        (WRAPPED % "logits[:1] if not self.training else logits", r"the model returned the shape \(1,\) for 8 pairs"),
        ("\n\ndef build_model(sizes):\n    return None\n", r"build_model\(\) returned a NoneType"),
    ],
    ids=["batch", "chance", "nan", "size", "weights", "loss", "shape", "type"],
)
def test_broken_rule_is_refused_with_reason(parts: Parts, code: str, why: str) -> None:
    # No batch statistics over pairs: they mean nothing after three steps.
    honest = DRUG.graft(next(prior for prior in DRUG.priors if prior.id == "cross-attention"))
    with pytest.raises((evolve_task.Invalid, Refused), match=why):
        parts.run(f"{honest}\n{code}", split="random")


SHADOW = """
OTHER = {}


def training_loss(model, batch, labels):
    if not OTHER:
        OTHER["model"] = Model(SIZES)
        OTHER["optimizer"] = torch.optim.Adam(OTHER["model"].parameters(), lr=RATE)
    for _ in range(INNER):
        OTHER["optimizer"].zero_grad()
        pair_loss(OTHER["model"](batch), labels).backward()
        OTHER["optimizer"].step()
    return pair_loss(model(batch), labels)


class Jump(torch.optim.SGD):
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight, other in zip(group["params"], OTHER["model"].parameters()):
                weight.copy_(other)


def build_model(sizes):
    SIZES.update(sizes)
    return Model(sizes)


def optimizer(model):
    return Jump(model.parameters(), lr=1.0)


SIZES = {}
"""
INNER = """

def training_loss(model, batch, labels):
    for _ in range(9):
        torch.autograd.grad(pair_loss(model(augment(batch)), labels), list(model.parameters()), allow_unused=True)
    return pair_loss(model(augment(batch)), labels)
"""
COUNTED = """

SEEN = []


def pair_loss(logits, labels):
    SEEN.append(1)
    return F.binary_cross_entropy_with_logits(logits, labels) * (1 if len(SEEN) % 7 else -1)
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (SHADOW.replace("INNER", "6"), "cannot be repeated from what the model and the optimizer kept: weights end"),
        (INNER, r"a step does \d+\.\d times the work of the model's pass over a batch; up to 5 times may be"),
        (COUNTED, "cannot be repeated from what the model and the optimizer kept: weights end"),
    ],
    ids=["second model", "more steps in one", "count in the program"],
)
def test_effort_beyond_the_counted_steps_is_refused(parts: Parts, code: str, why: str) -> None:
    with pytest.raises(evolve_task.Invalid, match=why):
        parts.run(f"{SEED}\n{code}", split="random", steps=9)


@pytest.mark.parametrize("answer", [None, [], {"a": 1}, {}])
def test_forged_state_is_refused(parts: Parts, answer: object) -> None:
    with pytest.raises(evolve_task.Invalid, match="as arrays by name"):
        parts.evaluate.check_state(answer, 100)


@pytest.mark.parametrize("prior", DRUG.with_recipes, ids=lambda prior: prior.id)
def test_every_recipe_makes_valid_program(parts: Parts, prior: Prior) -> None:
    found = parts.run(DRUG.graft(prior), split="random", pairs=150, steps=2, batch=32)
    assert 0 < found["score"] < 1


def test_missing_library_is_reported_with_its_extra(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "rdkit" else object())
    with pytest.raises(ImportError, match=r"rdkit is not installed: this task needs the extras 'torch' and 'drug'"):
        exec(compile(DRUG.task.evaluator.read_text(), "evaluate.py", "exec"), {"__name__": "evaluate"})


def test_task_folder_passes_check() -> None:
    assert DRUG.spec.guarded and len(DRUG.priors) >= 15
    DRUG.check_folder()
    assert set().union(*(names for prior in DRUG.priors for names in DRUG.functions_of(prior))) >= ROLES


# In the sandbox


async def test_users_csv_is_read_in_sandbox(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = write(tmp_path / "data" / "pairs.csv", made_up(parts))
    settings = {**TINY, "data": str(path)}
    outcome, seen = await DRUG.evaluate(tmp_path, SEED, mounts=[tmp_path / "data"], **settings)
    assert outcome.status == "ok", outcome.reason
    assert outcome.guarantee == ("guarded" if find_sandbox().guards else "open")
    assert outcome.metrics["data"] == "pairs.csv" and [step for step, _ in seen] == [1, 2, 3]


@pytest.mark.needs("bubblewrap")
async def test_candidate_cannot_find_data(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = write(tmp_path / "data" / "pairs.csv", made_up(parts))
    settings = {**TINY, "data": str(path)}
    outcome, _ = await DRUG.evaluate(tmp_path, f"open({str(path)!r})\n{SEED}", mounts=[tmp_path / "data"], **settings)
    assert outcome.status == "crashed" and re.search(r"FileNotFoundError.*pairs\.csv", outcome.reason)
