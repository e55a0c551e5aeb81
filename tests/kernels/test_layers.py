"""The layers and the language model: continuation from a state, causality, training."""

from __future__ import annotations

import itertools

import pytest

from tests.needs import require

require("torch")

import torch
from torch import nn

from kernels.language_model import SIZES, LanguageModel
from kernels.layers import LAYERS, ShortConvolution
from tests.kernels.cases import relative_error


def layer(name: str) -> nn.Module:
    torch.manual_seed(0)
    return LAYERS[name](32, 2)


def ready(size: int, width: int = 32) -> torch.Tensor:
    return torch.randn(2, size, width, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize("name", LAYERS)
def test_pieces_of_sequence_give_same_result_as_whole(name: str) -> None:
    module, x = layer(name), ready(41)
    whole, _ = module(x)
    state, parts = None, []
    for first, end in itertools.pairwise([0, 1, 2, 20, 41]):
        y, state = module(x[:, first:end], state)
        parts.append(y)
    assert relative_error(torch.cat(parts, 1), whole) < 1e-5


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_reach_every_parameter_and_no_later_token(name: str) -> None:
    module, x = layer(name), ready(24).requires_grad_()
    y, _ = module(x)
    y[:, 11].square().sum().backward()
    assert x.grad is not None
    assert not x.grad[:, 12:].any()
    assert x.grad[:, 0].any() and x.grad[:, 11].any()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in module.parameters())


@pytest.mark.parametrize("name", LAYERS)
def test_sequences_of_batch_are_independent(name: str) -> None:
    module, x = layer(name), ready(24)
    whole, _ = module(x)
    alone, _ = module(x[1:])
    assert relative_error(alone, whole[1:]) < 1e-5


@pytest.mark.parametrize("name", LAYERS)
def test_bfloat16_layers_run(name: str) -> None:
    module, x = layer(name), ready(24)
    exact, _ = module(x)
    y, _ = module.bfloat16()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    assert relative_error(y, exact) < 0.05


def test_short_convolution_sees_last_tokens_only() -> None:
    convolution = ShortConvolution(3, size=4)
    x = torch.randn(1, 10, 3).requires_grad_()
    y, past = convolution(x)
    y[0, 7].sum().backward()
    assert x.grad is not None
    assert x.grad[0].any(-1).nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert torch.equal(past, x[:, 7:])


@pytest.mark.parametrize("name", LAYERS)
def test_heads_that_do_not_divide_the_width_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="width 32 with 5 heads"):
        LAYERS[name](32, 5)


@pytest.mark.parametrize("name", LAYERS)
def test_language_model_memorises_batch(name: str) -> None:
    torch.manual_seed(0)
    model = LanguageModel(SIZES["cpu-tiny"], LAYERS[name])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    tokens = torch.randint(256, (4, 25))
    losses = []
    for _ in range(20):
        loss = model.loss(tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # ln 256 before any training.
    assert losses[0] == pytest.approx(5.55, abs=0.2)
    assert losses[-1] < 2


@pytest.mark.parametrize("name", LAYERS)
def test_language_model_continues_from_state(name: str) -> None:
    torch.manual_seed(0)
    model = LanguageModel(SIZES["cpu-tiny"], LAYERS[name])
    tokens = torch.randint(256, (2, 20))
    whole, _ = model(tokens)
    first, state = model(tokens[:, :13])
    rest, _ = model(tokens[:, 13:], state)
    assert relative_error(torch.cat([first, rest], 1), whole) < 1e-5


@pytest.mark.parametrize(("size", "low", "high"), [("20m", 17e6, 23e6), ("340m", 320e6, 370e6)])
def test_large_sizes_have_named_parameter_counts(size: str, low: float, high: float) -> None:
    with torch.device("meta"):
        count = LanguageModel(SIZES[size], LAYERS["delta_net"]).parameters_count()
    assert low < count < high
