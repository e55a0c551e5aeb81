"""The rows of `evolve bench kernels`; speed itself is not tested."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.needs import require

require("torch")

import torch

from kernels.throughput import Contender, Roofline, Shape, as_rows, check, contenders, measure_roofline, race, work
from tests.conftest import Evolve

SHAPE = Shape(1, 2, 32, torch.float32, "cpu")
KEYS = ["op", "implementation", "pass", "T", "tokens_per_s", "spread", "tflops", "gbs", "peak_mb", "vs_sdpa"]
KEYS.append("roofline")


def test_rows_have_documented_fields() -> None:
    field = contenders(SHAPE)
    assert [c.op for c in field] == ["sdpa", "linear_attention", "ssd", "delta_rule", "gated_delta_rule"]
    timed = race(field, SHAPE, 128, both=False, seconds=0) + race(field[1:], SHAPE, 128, both=True, seconds=0)
    rows = as_rows(timed, SHAPE, measure_roofline(SHAPE))
    assert [list(row) for row in rows] == [KEYS] * 9
    assert [row["pass"] for row in rows] == ["fwd"] * 5 + ["fwdbwd"] * 4
    for row in rows:
        assert row["tokens_per_s"] > 0 and row["tflops"] > 0 and row["gbs"] > 0 and row["roofline"] > 0
        assert row["peak_mb"] is None or row["peak_mb"] >= 0
    assert [row["vs_sdpa"] for row in rows[5:]] == [None] * 4
    assert rows[0]["vs_sdpa"] == 1


def test_figures_follow_from_times_and_peaks() -> None:
    [timed, *_] = race([contenders(SHAPE)[3]], SHAPE, 128, both=False, seconds=0)
    timed.times[:] = [0.1, 0.2, 0.3]
    [row] = as_rows([timed], SHAPE, Roofline(tflops=1e-3, gbs=1e3))
    operations, moved = work("delta_rule", 128, SHAPE, both=False)
    assert row["tokens_per_s"] == pytest.approx(640)
    assert row["tflops"] == pytest.approx(operations / 0.2 / 1e12)
    assert row["gbs"] == pytest.approx(moved / 0.2 / 1e9)
    assert row["roofline"] == pytest.approx(operations / 1e9 / 0.2)


@pytest.mark.parametrize(("op", "growth"), [("gated_delta_rule", 4), ("linear_attention", 4), ("sdpa", 16)])
def test_work_grows_with_length_or_its_square(op: str, growth: int) -> None:
    for both in (False, True):
        short, long = (work(op, length, SHAPE, both) for length in (512, 2048))
        assert math.isclose(long[0] / short[0], growth)
        assert math.isclose(long[1] / short[1], 4)


def test_wrong_contender_is_not_timed() -> None:
    right = contenders(SHAPE)[3]
    check(right, SHAPE)
    wrong = Contender(right.op, "careless", lambda **x: right.call(**x) * 1.001)
    with pytest.raises(ArithmeticError, match=r"delta_rule by 'careless': the output is off by 0\.001 "):
        check(wrong, SHAPE)


def test_functions_of_checkout_are_measured(tmp_path: Path) -> None:
    """The checkout has the expected files and functions, which compute the definition."""
    code = {
        "linear_attn": "def naive_chunk_linear_attn(q, k, v): return linear_attention(q, k, v)",
        "simple_gla": "def naive_chunk_simple_gla(q, k, v, g): return ssd(q, k, v, g)",
        "delta_rule": "def delta_rule_chunkwise(q, k, v, beta):\n"
        "    q, k, v, beta = (x.transpose(1, 2) for x in (q, k, v, beta))\n"
        "    return delta_rule(q, k, v, beta)[0].transpose(1, 2), None",
        "gated_delta_rule": "def naive_chunk_gated_delta_rule(q, k, v, g, beta):\n"
        "    return gated_delta_rule(q, k, v, beta, g)",
    }
    for folder, text in code.items():
        file = tmp_path / "fla" / "ops" / folder / "naive.py"
        file.parent.mkdir(parents=True)
        file.write_text(f"from kernels.operators import delta_rule, gated_delta_rule, linear_attention, ssd\n{text}\n")
    peers = contenders(SHAPE, tmp_path)[5:]
    assert [c.op for c in peers] == ["linear_attention", "ssd", "delta_rule", "gated_delta_rule"]
    for peer in peers:
        check(peer, SHAPE)


def test_folder_that_is_no_checkout_is_named(evolve: Evolve, tmp_path: Path) -> None:
    done = evolve("bench", "kernels", "--against", tmp_path)
    assert done.code == 2
    assert f"there is no {tmp_path}/fla/ops/linear_attn/naive.py" in done.err
    assert evolve("bench", "engine", "--against", tmp_path).code == 2


def test_missing_pytorch_gives_install_advice(evolve: Evolve, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'torch' else found(name, *rest)\n"
    )
    done = evolve("bench", "kernels", PYTHONPATH=str(tmp_path))
    assert done.code == 2
    assert "pip install 'asi-evolve-tui[torch]'" in done.err
