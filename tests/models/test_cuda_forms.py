"""What the fast forms dispatch on CUDA, seen on a CPU: no slow kernel, no copy from the host."""

import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

from separation.models.fast.layers import FastForm, FusedGlobalNorm, make_fast
from tests.conftest import ROOT
from tests.models.test_time_major import make_model
from tests.support.pretended_cuda import build_guard


@dataclass(frozen=True)
class Operation:
    """A dispatched operation: its output's type and device, its inputs' devices."""

    name: str
    dtype: str
    device: str
    inputs: str
    kernel: str


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    """The library that lets a CPU's build of PyTorch take CUDA tensors without values."""
    library = build_guard(tmp_path_factory.mktemp("guard"))
    if library is None:
        pytest.skip("no C++ compiler (g++ or clang++) for the pretended CUDA")
    return library


def trace(guard, layout, *switches) -> list[Operation]:
    """Operations of a form; switches: gradients written, bf16 autocast, compiled."""
    words = ["yes" if switch else "no" for switch in switches]
    command = [sys.executable, "-m", "tests.support.pretended_cuda", str(guard), layout, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [Operation(*line.split(" ")[:5]) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("layout", "written", "compiled"),
    [("bct", False, False), ("btc", False, False), ("btc", False, True), ("btc", True, True)],
)
def test_no_slow_kernel_and_no_copy_from_the_host(layout, written, compiled, bf16, guard):
    """Bugs: group_norm of one group keeps one multiprocessor busy, and TDConvNet copies a zero."""
    operations = trace(guard, layout, written, bf16, compiled)
    assert not [op for op in operations if "group_norm" in op.name]
    assert not [op for op in operations if "copy" in op.name and op.inputs not in ("cuda", "")]
    assert not [op for op in operations if op.device == "cuda" and "cpu" in op.inputs]
    convolutions = [op for op in operations if "convolution" in op.name]
    if layout == "btc":
        assert not convolutions
    else:
        assert convolutions  # the trace sees them
    products = [op for op in operations if op.name in ("aten.mm.default", "aten.addmm.default")]
    assert {op.dtype for op in products} <= {"torch.bfloat16" if bf16 else "torch.float32"}
    statistics = [op for op in operations if "rsqrt" in op.name or "sum" in op.name]
    assert {op.dtype for op in statistics} == {"torch.float32"}


def test_validation_waits_for_two_copies_a_batch_and_calls_no_convolution(guard):
    """The counts of frames, and which of them there are; all else is computed on the device."""
    operations = trace(guard, "together", False, False, False)
    assert not [op for op in operations if "convolution" in op.name or "group_norm" in op.name]
    copied = [op for op in operations if op.device == "cuda" and "cpu" in op.inputs]
    assert len(copied) <= 2 and all("_to_copy" in op.name for op in copied)
    assert {op.dtype for op in operations if op.device == "cuda"} == {"torch.float32"}


def test_norm_by_statistics_equals_group_norm():
    """What CUDA runs eagerly, on the CPU."""
    norm = FusedGlobalNorm(make_model().masker.bottleneck[0])
    x = 3 + torch.randn(2, 32, 501, dtype=torch.float32)
    assert torch.allclose(norm._normalize_by_statistics(x), norm(x), atol=1e-5)


def test_the_first_skip_starts_their_sum():
    """Asteroid's own masker starts with a zero; outputs are equal to the bit but for norms."""
    model = make_model()
    mixtures = torch.randn(2, 1000)
    assert torch.equal(make_fast(model, FastForm(norms=False))(mixtures), model(mixtures))
