"""Train small byte-level language models from scratch on curated text and measure bits per held-out byte.

`ngram` counts contexts of up to `order` - 1 bytes, interpolated (Kneser and Ney, 1995). It is deterministic and takes
0.2 s of CPU for 320,000 bytes. At this budget a recurrent network of 128 units took 12 s, needed 0.7 bits more per
byte, and learnt less from lightly cleaned text than from raw text on two of three corpora. With the interpolation of
Witten and Bell (1991) instead of Kneser and Ney's, a model became worse when base64 was removed from its text.
`transformer` is for a GPU and budgets of many megabytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Bytes = np.ndarray
"""Shape (n,), uint8."""
OnProgress = Callable[[int, float], None]
"""Callback for the number of training bytes so far, and bits per held-out byte."""

MODELS = ("ngram", "transformer")
DISCOUNT = 0.9
"""Subtracted from every count to reserve probability for unseen bytes."""
CURVE = (0.25, 0.5, 1.0)
"""Shares of the budget after which the held-out text is measured."""


def stream(documents: Sequence[str], budget: int, seed: int, turn: int = 0) -> Bytes:
    """Concatenate documents in random order, each ended by a zero byte; repeat until the budget is full.

    Empty documents are left out and the others keep their order, so that two cleanings of the same documents differ in
    their content, not by chance in their order.

    Raises:
        ValueError: all documents are empty.
    """
    order = np.random.default_rng([seed, 33, turn]).permutation(len(documents))
    texts = [documents[k].encode("utf-8", "replace") + b"\0" for k in order if documents[k].strip()]
    if not texts:
        raise ValueError("there is no text to train on")
    whole = b"".join(texts)
    return np.frombuffer((whole * -(-budget // len(whole)))[:budget], np.uint8)


def bits_per_byte(
    text: Bytes,
    held_out: Bytes,
    settings: dict[str, Any],
    seed: int,
    device: str,
    on_progress: OnProgress | None = None,
) -> float:
    """Train on a text and return the bits per byte of the held-out text.

    Args:
        text: the training text, used once.
        held_out: the text to measure.
        settings: the task's settings.
        seed: seed of initial weights.
        device: the GPU; empty for the CPU.
        on_progress: called with each measurement during the training.

    Raises:
        ValueError: `model` in the settings is unknown.
    """
    if settings["model"] == "ngram":
        order = int(settings["order"])
        for share in CURVE[:-1] if on_progress else ():
            seen = int(len(text) * share)
            on_progress(seen, ngram(text[:seen], held_out, order))
        found = ngram(text, held_out, order)
    elif settings["model"] == "transformer":
        found = _transformer(text, held_out, settings, seed, device, on_progress)
    else:
        raise ValueError(f"`model` in the settings is {settings['model']!r}; there are {', '.join(MODELS)}")
    if on_progress:
        on_progress(len(text), found)
    return found


def ngram(text: Bytes, held_out: Bytes, order: int) -> float:
    """Return the bits per byte of `held_out` under an interpolated Kneser-Ney model of `text`, fixed while measuring.

    The longest contexts count how often a byte followed them; shorter ones count how many different bytes preceded them
    and the byte, so that a sequence that occurs in one place only says little about others.
    """
    levels = [np.unique(_contexts(text, order - 1) << np.uint64(8) | text, return_counts=True)]
    for length in range(order - 2, -1, -1):
        shorter = levels[-1][0] & np.uint64(256 ** (length + 1) - 1)
        levels.append(np.unique(shorter, return_counts=True))
    chance = np.full(len(held_out), 1 / 256)
    for length, (pairs, counts) in enumerate(reversed(levels)):
        behind = pairs >> np.uint64(8)
        first = np.flatnonzero(np.concatenate([[True], behind[1:] != behind[:-1]]))
        contexts, total = behind[first], np.add.reduceat(counts, first)
        kinds = np.diff(first, append=len(pairs))
        wanted = _contexts(held_out, length)
        place = np.minimum(np.searchsorted(contexts, wanted), len(contexts) - 1)
        pair = wanted << np.uint64(8) | held_out
        where = np.minimum(np.searchsorted(pairs, pair), len(pairs) - 1)
        count = np.where(pairs[where] == pair, counts[where] - DISCOUNT, 0)
        mixed = (count + DISCOUNT * kinds[place] * chance) / total[place]
        chance = np.where(contexts[place] == wanted, mixed, chance)
    return float(-np.log2(chance).mean())


def _contexts(text: Bytes, length: int) -> np.ndarray:
    """Encode the `length` (at most 7) bytes before each byte as one number; zeros precede the first."""
    found = np.zeros(len(text), np.uint64)
    for back in range(1, length + 1):
        found[back:] += text[:-back].astype(np.uint64) << np.uint64(8 * (back - 1))
    return found


def _transformer(
    text: Bytes, held_out: Bytes, settings: dict[str, Any], seed: int, device: str, on_progress: OnProgress | None
) -> float:
    """Train a causal transformer over bytes for one pass with AdamW and a cosine schedule; return bits per byte."""
    try:
        import torch
    except ImportError:
        raise ImportError("torch is not installed: the model 'transformer' needs the extra 'torch'") from None
    from torch.nn import functional as F

    torch.manual_seed(seed)
    where = torch.device("cuda" if device else "cpu")
    context, batch, rate = int(settings["context"]), int(settings["batch"]), float(settings["learning_rate"])
    steps = len(text) // (context * batch)
    if steps < 1 or len(held_out) <= context:
        raise ValueError(f"{len(text)} bytes are less than a step: context = {context} times batch = {batch}")
    model = _network(settings).to(where)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.1)
    rows = torch.from_numpy(text[: steps * batch * context].astype(np.int64)).view(steps, batch, context)
    marks = {max(1, round(steps * share)) for share in CURVE[:-1]} if on_progress else set()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / max(1, steps // 20)) * _cosine(step / steps)
        x = rows[step].to(where)
        loss = F.cross_entropy(model(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if on_progress and step + 1 in marks:
            on_progress((step + 1) * batch * context, float(loss.detach()) / math.log(2))
    return _measure(model, held_out, context, where)


def _cosine(done: float) -> float:
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


def _network(settings: dict[str, Any]) -> Any:
    import torch
    from torch import nn

    width, layers, heads = int(settings["width"]), int(settings["layers"]), int(settings["heads"])
    context = int(settings["context"])

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.byte, self.place = nn.Embedding(256, width), nn.Embedding(context, width)
            layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
            self.out = nn.Linear(width, 256)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            length = x.shape[1]
            mask = nn.Transformer.generate_square_subsequent_mask(length, device=x.device)
            h = self.byte(x) + self.place(torch.arange(length, device=x.device))
            return self.out(self.layers(h, mask=mask, is_causal=True))

    return Network()


def _measure(model: Any, held_out: Bytes, context: int, where: Any) -> float:
    """Return bits per byte, in windows that overlap by half so that each byte but the first has a context."""
    import torch
    from torch.nn import functional as F

    data = torch.from_numpy(held_out.astype(np.int64))
    half = context // 2
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(data) - 1, half):
            window = data[start : start + context].to(where)[None]
            new = window.shape[1] - 1 if start == 0 else window.shape[1] - 1 - (context - half - 1)
            if new <= 0:
                break
            loss = F.cross_entropy(model(window[:, :-1])[0, -new:], window[0, -new:], reduction="sum")
            total, count = total + float(loss), count + new
    return total / count / math.log(2)
