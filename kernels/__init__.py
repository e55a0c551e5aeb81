"""Linear-attention operators in PyTorch and Triton, layers built from them, and throughput benchmarks.

Importing the package loads none of its modules. Start with `kernels.operators`; it needs the extra `torch`.

    operators.py        the four operators behind one interface
    reference.py        their definition: token by token in float64
    chunk.py            forward and backward pass in PyTorch, chunk by chunk
    triton_chunk.py triton_kernels.py   the same for a GPU
    layers.py language_model.py         PyTorch modules and a small language model
    throughput.py       the measurements of `evolve bench kernels`
    compile_report.py   registers and memory that the Triton kernels need on a GPU, found without one
"""
