"""The contract of a layer: recipes keep it, and everything that breaks it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.needs import require

require("torch")

import torch

from cognition.prior import Prior
from engine.evaluation import evolve_task
from engine.programs.outline import ProgramError
from engine.task.interface import check_program
from tests.engine.tasks.builtin import Report

from .conftest import LINEAR, SEED, SMALL, changed

torch.set_num_threads(1)

# The folder


def test_task_folder_passes_check() -> None:
    assert LINEAR.spec.guarded and LINEAR.spec.noisy
    assert [stage.name for stage in LINEAR.spec.stages] == ["quick", "explore", "verify"]
    assert LINEAR.spec.score_stage.name == "explore"
    LINEAR.check_folder()


def test_every_prior_has_source_and_every_part_has_recipe() -> None:
    assert len(LINEAR.priors) >= 30 and len(LINEAR.with_recipes) >= 12
    made = [names for prior in LINEAR.priors for names in LINEAR.functions_of(prior)]
    assert all(len(names) == 1 for names in made)
    assert set().union(*made) == LINEAR.parts


@pytest.mark.parametrize("prior", LINEAR.with_recipes, ids=lambda prior: prior.id)
def test_every_recipe_keeps_contract(check: Any, prior: Prior) -> None:
    found = check(LINEAR.graft(prior), short=True)
    assert found["growth"] < 4.5 and found["layer_weights"] > 0


# The contract


SOFTMAX = """
import math
import torch
from torch import nn
class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
    def forward(self, x, state=None):
        q, k, v = self.qkv(x).chunk(3, -1)
        return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), None
"""
LOOP = """
out = []
for t in range(q.shape[1]):
    w = torch.softmax((q[:, t : t + 1] * k[:, : t + 1]).sum(-1), 1)
    out.append((w[..., None] * v[:, : t + 1]).sum(1))
return torch.stack(out, 1), None
"""
PAIRS = """
a = v[..., 0]
b = (a[:, :, None, 0] - a[:, None, :, 0]).tril().sum(2)
o, state = delta_rule(q, k, v, beta, initial_state=state)
return o + 0.01 * torch.tanh(b)[..., None, None], state
"""
RUNNING = """
a = v[:, :, None, 0, 0].expand(-1, -1, v.shape[1]).tril().cumsum(2).amax(2) / 100
return delta_rule(q, k, v + 0.01 * torch.tanh(a)[..., None, None], beta, initial_state=state)
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (SOFTMAX, r"complexity: operations of products grow \d+\.\d-fold from \d+ to [\d,]+ tokens"),
        (changed("memory", LOOP), r"complexity: numbers written grow \d+\.\d-fold from \d+ to [\d,]+ tokens"),
        (changed("memory", PAIRS), r"complexity: numbers written grow \d+\.\d-fold"),
        (changed("memory", RUNNING), r"complexity: numbers (written|read or written in all) grow \d+\.\d-fold"),
    ],
    ids=["softmax", "attention in a loop", "all pairs", "running sums"],
)
def test_quadratic_work_is_refused_in_every_form(check: Any, code: str, why: str) -> None:
    with pytest.raises(evolve_task.Invalid, match=why):
        check(code)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (changed("value_features", "return v + v.roll(-1, 1)"), "causality: outputs up to token 0 are others when"),
        (changed("value_features", "return v - 0.2 * v.mean(1, keepdim=True)"), "causality: outputs up to token 0"),
        (
            SEED.replace("y = self.gate(", "seen = seen.roll(-1, 1) if self.training else seen\n        y = self.gate(")
            + "\n\nclass Open(nn.Module):\n    def forward(self, x, y):\n        return y + x\n"
            + "\n\ndef gate(width):\n    return Open()\n",
            r"causality: the gradient of outputs up to token 31 by later inputs is \d.*where it must be 0",
        ),
        (changed("query_features", "return q - q.mean(0)"), "batch independence: a sequence's .* without its neighb"),
        (
            changed("value_features", "return v * torch.arange(1, len(v) + 1)[:, None, None, None]"),
            "batch independence: .* without its neighbours",
        ),
        (SEED.replace('"held": held}', '"held": None}'), "pieces: fed in pieces of 37, 1, 26, 36 tokens .* 37 to 37"),
        (SEED.replace('"past": past', '"past": None'), "pieces: .* outputs 37 to 37 are others"),
        (
            SEED.replace('"held": held}', '"held": held, "all": x.repeat(1, 40, 1)}'),
            r"state: it holds [0-9,]+ numbers after [\d,]+ tokens; 2,048 may be",
        ),
        (
            changed("norm", "return nn.Sequential(nn.Linear(size, 400), nn.Linear(400, size))"),
            "parameter budget: the layer holds 17,[0-9]+ numbers; 8,192 may be",
        ),
        (changed("value_features", "return (v - v.detach()) ** 0.5 * 0 + 1 / (v - v)"), "outputs are not finite"),
        (
            changed("value_features", "return v + ((v - v.detach()).abs() + 0).sqrt()"),
            "gradient: that by the weights .* is not finite|gradient.*not finite|outputs are not finite",
        ),
        (changed("memory", "return v.detach() * 0 + 1, None"), "do not depend on the inputs at all"),
        (changed("memory", "return v[:, :, :1], None"), r"forward: outputs must have the shape|mat1|shape"),
    ],
    ids=[
        "looks ahead",
        "mean over time",
        "looks ahead in training",
        "mean over the batch",
        "place in the batch",
        "memory not handed on",
        "past not handed on",
        "growing state",
        "too many weights",
        "not finite",
        "gradient not finite",
        "constant",
        "shape",
    ],
)
def test_broken_contract_is_refused_with_figure(check: Any, code: str, why: str) -> None:
    with pytest.raises((evolve_task.Invalid, RuntimeError), match=why):
        check(code)


CACHE = """
import torch
from torch import nn
from kernels.operators import linear_attention
class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
    def forward(self, x, state=None):
        q, k, v = self.qkv(x).chunk(3, -1)
        if LINEAR:
            return linear_attention(q[:, :, None], k[:, :, None], v[:, :, None])[0][:, :, 0], None
        if state is not None:
            k, v = torch.cat([state[0], k], 1), torch.cat([state[1], v], 1)
        scores = (q @ k.mT).masked_fill(~q.new_ones(len(q[0]), len(k[0])).tril(len(k[0]) - len(q[0])).bool(), -9e9)
        return scores.softmax(-1) @ v, KEPT
"""


@pytest.mark.parametrize(
    ("linear", "kept"),
    [
        ("x.shape[1] > 200", "[k, v]"),
        ("x.shape[1] > 200", "None"),
        ("len(x) == 1 and len(x[0]) not in (1, 100) and state is None", "[k, v]"),
        ("len(x) == 1 and len(x[0]) in (16, 32, 64, 128, 256, 1024, 4096) and state is None", "[k, v]"),
        ("len(x) < 8", "None"),
    ],
    ids=["state", "work", "state in pieces", "certain lengths", "small batches"],
)
def test_attention_in_certain_passes_only_is_refused(check: Any, linear: str, kept: str) -> None:
    with pytest.raises(evolve_task.Invalid, match=r"state: it holds|complexity: |batch independence: |lengths: "):
        check(CACHE.replace("LINEAR", linear).replace("KEPT", kept))


def test_state_is_checked_again_before_training(load: Any, session: Any, monkeypatch: Any) -> None:
    code = SEED.replace('"held": held}', '"held": held, "all": x.repeat(1, 40 * (x.shape[1] == 128), 1)}')

    @contextmanager
    def opened(report: Any) -> Iterator[Any]:
        yield session(code)

    evaluator = load("evaluate")
    monkeypatch.setattr(evaluator, "session", opened)
    with pytest.raises(evolve_task.Invalid, match=r"state: it holds .* numbers after [0-9,]+ tokens; 6,144 may be"):
        evaluator.evaluate("", Report(LINEAR, **SMALL))
    with pytest.raises(evolve_task.Invalid, match=r"state: it holds .* numbers after [0-9,]+ tokens; 6,144 may be"):
        evaluator.evaluate("", Report(LINEAR, "quick", **SMALL))


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("types.SimpleNamespace(x=x)", "a state is a nest of dicts, lists and tensors.*; a SimpleNamespace is none"),
        ("[{'x': (1, x.tolist())}]", "numbers of a state take [0-9,]+ bytes; 1,024 may be"),
        ("1 << 9000", "numbers of a state take 1,126 bytes"),
    ],
)
def test_state_cannot_hide_numbers(session: Any, state: str, why: str) -> None:
    code = "import types\nfrom torch import nn\nclass Layer(nn.Module):\n    def __init__(self, w, h):\n"
    opened = session(
        f"{code}        super().__init__()\n    def forward(self, x, state=None):\n        return x, {state}"
    )
    opened.call("build", 8, 1, 0)
    with pytest.raises(TypeError, match=why):
        opened.call("forward", 0, np.ones((1, 32, 8), np.float32), True)


def test_numbers_of_eight_bytes_count_twice(session: Any) -> None:
    code = "from torch import nn\nclass Layer(nn.Module):\n    def __init__(self, w, h):\n        super().__init__()\n"
    opened = session(
        f"{code}    def forward(self, x, state=None):\n        return x, [x[:, 0], x[:, 1:].double(), None, 3]"
    )
    opened.call("build", 8, 1, 0)
    assert opened.call("forward", 0, np.ones((1, 4, 8), np.float32), True)[1][4] == 8 + 2 * 24


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("torch.from_numpy(v.numpy())", "numpy"),
        ("torch.tensor(list(open(torch.__file__, 'rb').read()))", "open"),
        ("torch.from_file('/a', size=9)", "from_file"),
        ("torch.serialization.os.listdir()", "os"),
        ("getattr(torch, 'fr' + 'om_file')", "getattr"),
        ("torch._C._jit_get_operation('aten::from_file')", "_C"),
        ("Nothing.forward.__globals__['__builtins__']", "__globals__"),
    ],
)
def test_escapes_from_tensors_are_refused_before_anything_runs(code: str, names: str) -> None:
    with pytest.raises(ProgramError, match=f"it uses {names}, which the task forbids"):
        check_program(changed("value_features", f"return {code}"), LINEAR.spec)


FILES = """
import calendar, ctypes, importlib.util, linecache, os, subprocess
TRIED = []
def tried(what):
    try:
        TRIED.append(f"GOT {what()!r:.40}")
    except PermissionError as error:
        TRIED.append(str(error)[:40])
    except ImportError as error:
        TRIED.append("no source")
def moved():
    os.chdir(os.path.dirname(PATH))
    return open("calendar.py").read()
PATH = calendar.__file__
READER = importlib.util.find_spec("calendar").loader
tried(lambda: open(PATH).read())
tried(lambda: os.open(PATH.encode(), 0))
tried(moved)
tried(lambda: torch.load(PATH))
tried(lambda: READER.get_source("calendar"))
tried(lambda: READER.get_data(PATH))
tried(lambda: open("/evaluation/a.txt"))
tried(lambda: subprocess.run(["cat", PATH]))
tried(lambda: ctypes.CDLL(None))
tried(lambda: exec(compile("open(PATH)", torch.__file__, "exec")))
class Reader(nn.Module):
    def forward(self, x, y):
        tried(lambda: importlib.import_module("mailbox").__name__)
        try:
            return open(PATH).read()
        except PermissionError as error:
            raise PermissionError(f"{error}, {linecache.getlines(PATH)} {TRIED}")
def gate(width):
    return Reader()
"""


async def test_layer_cannot_open_text_in_sandbox(tmp_path: Path) -> None:
    outcome, _ = await LINEAR.evaluate(tmp_path, SEED + FILES, stage="quick", mounts=[tmp_path], **SMALL)
    why = outcome.reason
    assert outcome.status == "crashed"
    assert re.match(r"PermissionError: no files: .*calendar\.py may be what held-out text is made of, \[\] \[", why), (
        why
    )
    assert why.count("no files: ") == 6 and why.count("a program may load no files") == 1, why
    assert why.count("no source") == 1, why
    assert why.count("no files and no other programs") == 2 and why.count("no code out of text") == 1, why
    assert why.count("GOT") == 1 and "GOT 'mailbox'" in why, why


def test_counted_operations_match_formulas(session: Any) -> None:
    code = """
import torch
from torch import nn
class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.w = nn.Parameter(torch.eye(width))
    def forward(self, x, state=None):
        a = torch.baddbmm(x, x, self.w.expand(len(x), -1, -1))
        b = torch.linalg.solve_triangular(torch.eye(x.shape[2]), a.mT, upper=False)
        a.baddbmm_(x, self.w.expand(len(x), -1, -1), alpha=-1)
        return a + b.mT, {"a": [x[:, -1], (x[:, -2:],)]}
"""
    opened = session(code)
    opened.call("build", 8, 1, 0)
    found = opened.call("forward", 0, np.ones((1, 16, 8), np.float32), True)[1]
    operations, written, in_all, _, state, kept = found
    assert operations == 2 * (2 * 16 * 8 * 8) + 16 * 8 * 8
    assert in_all == 2 * (2 * 16 * 8 * 8), "the profiler sees no solves"
    assert written >= 4 * 16 * 8 and (state, kept) == (3 * 8, 0)
