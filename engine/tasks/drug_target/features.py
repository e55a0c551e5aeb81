"""Compute a model's inputs: atoms and bonds from RDKit, residues as numbers; ragged, stored as flat arrays."""

from __future__ import annotations

import numpy as np
from dataset import DataError, Dataset
from rdkit import Chem, RDLogger
from rdkit.Chem.Scaffolds import MurckoScaffold

ELEMENTS = ("C", "N", "O", "S", "F", "P", "Cl", "Br", "I")
HYBRIDS = ("SP", "SP2", "SP3")
BONDS = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
ATOM_FEATURES = len(ELEMENTS) + 1 + 6 + 5 + len(HYBRIDS) + 1 + 4
BOND_TYPES = len(BONDS) + 1
"""Number of bond types; 0 means no bond."""
RESIDUE_TYPES = len(RESIDUES) + 2
"""Number of residue types; 0 is padding, the last one is any other letter."""


def featurise(data: Dataset, max_atoms: int, max_residues: int) -> dict[str, np.ndarray]:
    """Compute features of all drugs and proteins of a dataset.

    Args:
        data: the dataset.
        max_atoms: further atoms of a drug, and their bonds, are left out.
        max_residues: further residues are left out.

    Returns:
        `atoms` (total, ATOM_FEATURES) uint8, `atom_start` (drugs + 1,), `bonds` (total, 3) with first atom, second atom
        and type, `bond_start` (drugs + 1,), `residues` (total,) uint8, `residue_start` (proteins + 1,).

    Raises:
        DataError: a SMILES is invalid; the message names the first rows.
    """
    RDLogger.DisableLog("rdApp.*")
    atoms: list[list[int]] = []
    bonds: list[tuple[int, int, int]] = []
    atom_start, bond_start, wrong = [0], [0], []
    for smiles, place in zip(data.smiles, data.places, strict=True):
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or molecule.GetNumAtoms() == 0:
            wrong.append(f"{place}: {smiles[:60]!r}")
            continue
        atoms += [atom_features(atom) for atom in list(molecule.GetAtoms())[:max_atoms]]
        for bond in molecule.GetBonds():
            first, second = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            if max(first, second) < max_atoms:
                kind = str(bond.GetBondType())
                bonds.append((first, second, 1 + BONDS.index(kind) if kind in BONDS else 1))
        atom_start.append(len(atoms))
        bond_start.append(len(bonds))
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise DataError(f"RDKit cannot read the SMILES in {'; '.join(wrong[:3])}{more}: correct or remove these rows")
    sequences = [sequence[:max_residues] for sequence in data.proteins]
    table = np.full(256, RESIDUE_TYPES - 1, dtype=np.uint8)
    table[np.frombuffer(RESIDUES.encode(), np.uint8)] = np.arange(1, len(RESIDUES) + 1)
    return {
        "atoms": np.array(atoms, dtype=np.uint8),
        "atom_start": np.array(atom_start, dtype=np.int32),
        "bonds": np.array(bonds, dtype=np.int32).reshape(-1, 3),
        "bond_start": np.array(bond_start, dtype=np.int32),
        "residues": table[np.frombuffer("".join(sequences).encode(), np.uint8)],
        "residue_start": np.concatenate([[0], np.cumsum([len(s) for s in sequences])]).astype(np.int32),
    }


def atom_features(atom: Chem.Atom) -> list[int]:
    """Encode one atom as ATOM_FEATURES flags: element, neighbours, hydrogens, hybridisation, aromatic, ring, charge."""
    charge = atom.GetFormalCharge()
    return [
        *_one_hot(ELEMENTS, atom.GetSymbol()),
        *_one_hot(range(5), atom.GetDegree()),
        *_one_hot(range(4), atom.GetTotalNumHs()),
        *_one_hot(HYBRIDS, str(atom.GetHybridization())),
        int(atom.GetIsAromatic()),
        int(atom.IsInRing()),
        int(charge > 0),
        int(charge < 0),
    ]


def _one_hot(known, value) -> list[int]:
    """Return one flag per known value and one for any other."""
    flags = [int(value == item) for item in known]
    return [*flags, int(not any(flags))]


def scaffolds(smiles: list[str]) -> list[str]:
    """Return the Murcko scaffold of each drug as SMILES; `none` for a drug without a ring."""
    return [MurckoScaffold.MurckoScaffoldSmiles(smiles=text) or "none" for text in smiles]
