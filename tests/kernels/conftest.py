"""What the tests of the kernels share: inputs, errors, one thread. Without PyTorch they are left out, but not in CI."""

from __future__ import annotations

from tests.needs import require

require("torch")

import torch

# A second thread would only wait on a busy machine: the tensors are small.
torch.set_num_threads(1)
