"""Report the resources that the Triton kernels need on a GPU by compiling them for it; no GPU or driver is needed.

Registers, spills, shared memory and tensor-core instructions tell whether a configuration fits a device; they do not
measure speed. `python -m kernels.compile_report` prints a table, or rows with `--json`; `compile_budget.json` beside
this file holds the limits.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["BUDGET", "Case", "cases", "over_budget", "report"]

BUDGET = Path(__file__).with_name("compile_budget.json")
"""For each target: the most registers, spilled bytes and bytes of shared memory that a kernel may use."""

_TARGETS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "gfx942": ("hip", "gfx942", 64)}
_POINTERS = {"bfloat16": "*bf16", "float32": "*fp32"}
# Kept in float32 whatever the type of q.
_SINGLE = {"beta", "g", "initial", "final", "d_final", "d_initial", "d_beta", "dg"}
_INTEGERS = {"T", "H", "CHUNKS"}


class Case(NamedTuple):
    """One shipped configuration of a kernel, for the gated delta rule: the other operators use parts of it."""

    stage: str
    dtype: str
    width: int
    """K and V."""

    @property
    def name(self) -> str:
        """Return a short name for tables and the budget."""
        return f"{self.stage.removesuffix('_kernel')}, {self.dtype}, width {self.width}"


def cases() -> Iterator[Case]:
    """Yield the shipped configurations: every stage in half and single precision, for the usual head widths."""
    from kernels import triton_kernels

    for stage in triton_kernels.__all__:
        for dtype in _POINTERS:
            for width in (64, 128):
                yield Case(stage, dtype, width)


def report(targets: list[str] | None = None, chosen: list[Case] | None = None) -> list[dict[str, Any]]:
    """Compile the kernels and read their resources from the binaries.

    Args:
        targets: any of sm_80, sm_90 and gfx942; all by default.
        chosen: the cases to compile; all by default.

    Returns:
        One row per case and target: case, target, registers (per thread), spilled (bytes per thread), shared (bytes
        per program), tensor_core (instructions).

    Raises:
        RuntimeError: TRITON_INTERPRET is set, so that nothing can be compiled.
    """
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise RuntimeError("TRITON_INTERPRET is set, so nothing is compiled: unset it")
    with tempfile.TemporaryDirectory(prefix="evolve-triton-") as cache:
        # Compile again each time: a cached binary would report an earlier source.
        os.environ["TRITON_CACHE_DIR"] = cache
        return [
            {"case": case.name, "target": target, **_compile(case, target)}
            for case in chosen or list(cases())
            for target in targets or list(_TARGETS)
        ]


def over_budget(rows: list[dict[str, Any]]) -> list[str]:
    """Return one message for each resource with which a row exceeds the budget file."""
    budget = json.loads(BUDGET.read_text())
    return [
        f"{row['case']} on {row['target']}: {row[key]} {key}, {budget[row['target']][key]} allowed"
        for row in rows
        for key in budget[row["target"]]
        if row[key] > budget[row["target"]][key]
    ]


def _compile(case: Case, target: str) -> dict[str, Any]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from kernels import triton_kernels
    from kernels.triton_chunk import choose_chunk, choose_launch, choose_precision

    kernel = getattr(triton_kernels, case.stage)
    single = case.dtype == "float32"
    launch, chunk = choose_launch(case.stage, single), choose_chunk(case.width, single)
    constants = {
        "K": case.width,
        "V": case.width,
        "C": chunk,
        "BLOCK_K": case.width,
        "BLOCK_V": min(launch.block_v, case.width),
        "DELTA": True,
        "GATED": True,
        "LEVELS": chunk.bit_length() - 1,
        "PRECISION": choose_precision(single, amd=target.startswith("gfx")),
    }
    names: list[str] = kernel.arg_names
    signature, values, attributes = {}, {}, {}
    for at, name in enumerate(names):
        if name in constants:
            signature[name] = "constexpr"
            values[(at,)] = constants[name]
        elif name in _INTEGERS or name == "scale":
            signature[name] = "i32" if name in _INTEGERS else "fp32"
        else:
            signature[name] = "*fp32" if name in _SINGLE else _POINTERS[case.dtype]
            # As at a real launch: PyTorch aligns its tensors.
            attributes[(at,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=values, attrs=attributes)
    options = {"num_warps": launch.warps, "num_stages": launch.stages}
    made = triton.compile(source, target=GPUTarget(*_TARGETS[target]), options=options)
    usage = _cubin(made.asm["cubin"]) if "cubin" in made.asm else _amd(made.asm["amdgcn"])
    return {"chunk": chunk, "warps": launch.warps, "shared": made.metadata.shared, **usage}


def _cubin(binary: bytes) -> dict[str, int]:
    import triton

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        usage, code = (
            subprocess.run([tools / tool, flag, file.name], capture_output=True, text=True, check=True).stdout
            for tool, flag in (("cuobjdump", "-res-usage"), ("nvdisasm", "-c"))
        )
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    opcodes = re.findall(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)", code, re.M)
    # Spills go to local memory, and nothing else here uses it.
    return {
        "registers": int(found[1]),
        "spilled": 4 * sum(code in ("LDL", "STL") for code in opcodes),
        "tensor_core": sum(code in ("HMMA", "HGMMA", "QGMMA", "WGMMA") for code in opcodes),
    }


def _amd(text: str) -> dict[str, int]:
    def last(key: str) -> int:
        return int(re.findall(rf"\.{key}:\s*(\d+)", text)[-1])

    return {
        "registers": last("vgpr_count"),
        "spilled": 4 * last("vgpr_spill_count"),
        "tensor_core": len(re.findall(r"\bv_mfma", text)),
    }


def main() -> int:
    """Print the report; return exit code 1 if the budget is exceeded."""
    rows = report()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        columns = ["case", "target", "chunk", "warps", "registers", "spilled", "shared", "tensor_core"]
        for row in [dict(zip(columns, columns, strict=True)), *rows]:
            sys.stdout.write(f"{row['case']:36}" + "".join(f"{row[key]:>12}" for key in columns[1:]) + "\n")
    wrong = over_budget(rows)
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
