"""Run the tests of the kernels with one thread. Without PyTorch they are left out, but not in CI."""

from __future__ import annotations

from tests.needs import require

require("torch")

import torch

# The tensors are small: a second thread would only wait on a busy machine.
torch.set_num_threads(1)
