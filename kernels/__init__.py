"""Linear-attention operators in PyTorch and Triton, layers made of them, and their throughput.

Nothing here is loaded with the package. `kernels.operators` is the place to start and needs the extra `torch`.

    operators.py        the four operators, one interface
    reference.py        what they compute: token by token, float64
    chunk.py            chunk by chunk in PyTorch, backward included
    triton_chunk.py triton_kernels.py   the same on a GPU
    layers.py language_model.py         modules made of them, a small language model
    throughput.py       what `evolve bench kernels` measures
    compile_report.py   what the Triton kernels would take of a GPU that is not here
"""
