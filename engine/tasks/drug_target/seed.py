"""A compact DrugBAN: graph convolutions over atoms, convolutions over residues, bilinear attention between the two."""

import torch
from torch import nn
from torch.nn import functional as F

RATE = 0.002  # tune: scale 0.0002..0.01
DECAY = 0.0001  # tune: scale 0.00001..0.1
DRUG_LAYERS = 3  # tune: effort 1..5
HEADS = 2  # tune: effort 1..8
DROPOUT = 0.1  # tune: scale 0.02..0.5


class GraphConvolution(nn.Module):
    """One step of neighbours' averages (Kipf and Welling)."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, h, bonds, mask):
        near = (bonds > 0).float() + torch.eye(h.shape[1], device=h.device)
        scale = near.sum(-1, keepdim=True).rsqrt()
        return F.relu(self.linear(near * scale * scale.transpose(1, 2) @ h)) * mask[..., None]


class SequenceConvolution(nn.Module):
    """A convolution over residues with batch normalisation."""

    def __init__(self, width, kernel):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x, mask):
        return self.norm(F.relu(self.conv(x.transpose(1, 2)))).transpose(1, 2) * mask[..., None]


class BilinearAttention(nn.Module):
    """Every atom with every residue: a bilinear map of pairs weighs their joint features (Kim, Jun and Zhang)."""

    def __init__(self, width):
        super().__init__()
        self.drug, self.protein = nn.Linear(width, 2 * width), nn.Linear(width, 2 * width)
        self.heads = nn.Parameter(torch.randn(HEADS, 2 * width) / (2 * width) ** 0.5)
        self.norm = nn.BatchNorm1d(2 * width)

    def forward(self, drug, drug_mask, protein, protein_mask):
        a = F.relu(self.drug(drug)) * drug_mask[..., None]
        b = F.relu(self.protein(protein)) * protein_mask[..., None]
        weights = torch.einsum("hk,bnk,blk->bnl", self.heads, a, b)
        return self.norm((a * (weights @ b)).sum(1))


class Model(nn.Module):
    """Drug encoder, protein encoder, interaction, classifier."""

    def __init__(self, sizes):
        super().__init__()
        width = sizes["width"]
        self.atoms = nn.Linear(sizes["atom_features"], width)
        self.residues = nn.Embedding(sizes["residue_types"], width, padding_idx=0)
        self.drug_layers = nn.ModuleList(drug_layer(width) for _ in range(DRUG_LAYERS))
        self.protein_layers = nn.ModuleList(protein_layer(width, kernel) for kernel in protein_kernels())
        self.interaction = interaction(width)
        self.classifier = classifier(2 * width)

    def forward(self, batch):
        drug_mask, protein_mask = batch["atom_mask"], batch["residue_mask"]
        drug = self.atoms(batch["atoms"]) * drug_mask[..., None]
        for layer in self.drug_layers:
            drug = layer(drug, batch["bonds"], drug_mask)
        protein = self.residues(batch["residues"])
        for layer in self.protein_layers:
            protein = layer(protein, protein_mask)
        return self.classifier(self.interaction(drug, drug_mask, protein, protein_mask)).squeeze(-1)


def drug_layer(width):
    """A layer over atoms: module (atoms (B, N, width), bonds (B, N, N), mask (B, N)) -> (B, N, width)."""
    return GraphConvolution(width)


def protein_kernels():
    """Residues that each layer over the protein sees at once; odd."""
    return (3, 7, 9)


def protein_layer(width, kernel):
    """A layer over residues: module (residues (B, L, width), mask (B, L)) -> (B, L, width)."""
    return SequenceConvolution(width, kernel)


def interaction(width):
    """Both sides to one vector: module (drug, drug mask, protein, protein mask) -> (B, 2 * width)."""
    return BilinearAttention(width)


def classifier(size):
    """A vector of the pair to its logit: module (B, size) -> (B, 1)."""
    return nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(size, 1))


def augment(batch):
    """A training batch as it is shown to the model: unchanged."""
    return batch


def pair_loss(logits, labels):
    """Binary cross-entropy of logits (B,) and labels (B,)."""
    return F.binary_cross_entropy_with_logits(logits, labels)


def build_model(sizes):
    """A module that takes a batch and returns logits (B,)."""
    return Model(sizes)


def training_loss(model, batch, labels):
    """What one step descends on."""
    return pair_loss(model(augment(batch)), labels)


def optimizer(model):
    """What takes the steps."""
    return torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)


def learning_rate(done):
    """Factor of the learning rate after a share `done` (0 to 1) of the steps: constant."""
    return 1.0
