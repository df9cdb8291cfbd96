"""Triton's kernels against the formulas: on a GPU, or interpreted where Triton is installed."""

import importlib.util
import os
import subprocess
import sys

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


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_equal_the_formulas():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    interpreted = {} if device == "cuda" else {"TRITON_INTERPRET": "1"}
    code = f"from tests.models.test_block_kernels import compare; compare({device!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | interpreted, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
