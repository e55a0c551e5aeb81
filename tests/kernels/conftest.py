"""What the tests of the kernels share: one thread. Every file here asks for PyTorch itself."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("torch") is not None:
    import torch

    # A second thread would only wait on a busy machine: the tensors are small.
    torch.set_num_threads(1)
