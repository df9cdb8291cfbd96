"""Triton's kernels where Triton is installed: against the formulas, and compiled for cards.

On a GPU they run; without one they are interpreted, and compiled for the cards all the same.
"""

import importlib.util
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import torch

from separation.models.fast import block_operations
from separation.models.fast.block_middle import Dilated
from separation.models.fast.block_operations import MixedByKernels
from tests.conftest import ROOT

CASES = [
    # place, taps, frames, channels, type
    (Dilated(1, 1), 3, 70, 40, torch.float32),
    (Dilated(8, 8), 3, 130, 72, torch.bfloat16),
    (Dilated(8, 4), 5, 67, 64, torch.float32),
]
TILE = ("FRAMES", "CHANNELS")
POINTERS = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}
TILES = [  # capability (A100, RTX 40, RTX 50, H100), frames, channels, warps
    *((capability, 64, 64, 4) for capability in (80, 89, 120, 90)),
    *((90, *tile) for tile in [(64, 64, 8), (32, 64, 4)]),
]
NEEDS_TRITON = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)


def run(case, device, by_kernels: bool) -> list[torch.Tensor]:
    """Outputs and all gradients."""
    place, taps, n_frames, n_channels, dtype = case
    generator = torch.Generator().manual_seed(0)
    sizes = [(2, n_frames, n_channels), (n_channels,), (1,), (n_channels,), (n_channels,)]
    sizes += [(n_channels, 1, taps), (n_channels,), (1,)]
    values = [torch.randn(size, generator=generator) for size in sizes]
    values[0] = values[0].to(dtype)
    values = [value.to(device).requires_grad_(True) for value in values]
    weights = torch.randn(sizes[0], generator=generator).to(device)
    block_operations.uses_kernels = lambda values: by_kernels
    outputs = MixedByKernels.apply(*values, place)
    loss = (outputs[0].float() * weights).sum() + outputs[1].sum() / 100 + outputs[2].sum() / 50
    loss.backward()
    return [*(output.detach() for output in outputs), *(value.grad for value in values)]


def compare(device: str) -> None:
    """Within float32's rounding, or bfloat16's of what is stored in it."""
    for case in CASES:
        tolerance = 1e-4 if case[-1] == torch.float32 else 0.03
        formulas, kernels = run(case, device, False), run(case, device, True)
        for place, (theirs, ours) in enumerate(zip(formulas, kernels, strict=True)):
            scale = theirs.float().abs().max()
            apart = (theirs.float() - ours.float()).abs().max() / scale
            assert apart < tolerance, f"{case}, {place}: {float(apart):.1e}"


@NEEDS_TRITON
def test_kernels_equal_the_formulas():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    interpreted = {} if device == "cuda" else {"TRITON_INTERPRET": "1"}
    code = f"from tests.models.test_block_kernels import compare; compare({device!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | interpreted, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def list_launches(monkeypatch) -> list[tuple[Any, tuple, dict[str, int]]]:
    """Every kernel with what a step of the best configuration gives it; tensors without values."""
    from separation.models.fast import block_kernels

    launches: list[tuple[Any, tuple, dict[str, int]]] = []

    def keep(kernel, like, tile, *arguments, **constants):
        launches.append((kernel, arguments, constants | dict(zip(TILE, tile, strict=True))))

    monkeypatch.setattr(block_kernels, "launch", keep)
    monkeypatch.setattr(block_operations, "uses_kernels", lambda values: True)
    batch, n_channels, taps, place = 24, 512, 3, (8, 8)
    activation = torch.empty(batch, 2999, n_channels, dtype=torch.bfloat16, device="meta")
    by_item, by_channel, slope, weight, of_items = (
        torch.empty(size, device="meta")
        for size in [(batch,), (n_channels,), (1,), (n_channels, 1, taps), (batch, n_channels)]
    )
    middle, end = (activation, by_channel, slope), (activation, slope, by_item, by_item)
    block_operations._sum_active(*middle)
    block_operations._mix(*middle, of_items, of_items, weight, by_channel, slope, *place)
    block_operations._differentiate_end(activation, *end, *middle, taps, *place)
    block_operations._differentiate_start(
        *middle, activation, weight, of_items, by_item, by_item, *place
    )
    return launches


def compile_for(capability: int, kernel: Any, arguments: tuple, constants: dict[str, int]) -> str:
    """PTX of a kernel as it is launched: what sixteen divides is told to the compiler."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from separation.models.fast import block_kernels

    given = [*arguments, *constants.values()]
    names = [*kernel.arg_names[: len(arguments)], *constants]
    is_tensor = [isinstance(value, torch.Tensor) for value in given]
    signature = {
        name: POINTERS[value.dtype] if there else "constexpr" if name in constants else "i32"
        for name, value, there in zip(names, given, is_tensor, strict=True)
    }
    even = [["tt.divisibility", 16]]
    attributes = {
        (place,): even
        for place, (name, value) in enumerate(zip(names, given, strict=True))
        if name not in constants and (is_tensor[place] or value % 16 == 0)
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    target, options = GPUTarget("cuda", capability, 32), {"num_warps": block_kernels.WARPS}
    return triton.compile(source, target=target, options=options).asm["ptx"]


@NEEDS_TRITON
@pytest.mark.parametrize(("capability", "frames", "channels", "warps"), TILES)
def test_kernels_compile_for_cards_without_spilling(
    capability, frames, channels, warps, monkeypatch, tmp_path
):
    """And read sixteen bytes at once, as bandwidth needs."""
    from triton import knobs

    from separation.models.fast import block_kernels

    monkeypatch.setattr(block_operations, "FRAMES", frames)
    monkeypatch.setattr(block_operations, "CHANNELS", channels)
    monkeypatch.setattr(block_kernels, "WARPS", warps)
    launches = list_launches(monkeypatch)
    assert len(launches) == 4
    for kernel, arguments, constants in launches:
        ptx = tmp_path / "kernel.ptx"
        ptx.write_text(compile_for(capability, kernel, arguments, constants))
        assert "ld.global.v4" in ptx.read_text()
        tool = knobs.nvidia.ptxas_blackwell if capability >= 100 else knobs.nvidia.ptxas
        architecture = re.findall(r"\.target (\w+)", ptx.read_text())[0]
        command = [tool.path, "-v", f"--gpu-name={architecture}", ptx, "-o", tmp_path / "cubin"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert "0 bytes spill stores, 0 bytes spill loads" in said, f"{kernel}: {said}"
        print(kernel.__name__, architecture, *re.findall(r"Used (\d+) registers", said))
