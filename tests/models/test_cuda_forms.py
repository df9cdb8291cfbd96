"""What the fast forms dispatch on CUDA, seen on a CPU: no slow kernel, no copy from the host."""

import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass

import pytest
import torch

from separation.models.fast.layers import FastForm, FusedGlobalNorm, make_fast
from tests.conftest import ROOT
from tests.models.test_time_major import make_model
from tests.support.pretended_cuda import FORMS, build_guard


@dataclass(frozen=True)
class Operation:
    """A dispatched operation: its output's type and device, its inputs' devices."""

    name: str
    dtype: str
    device: str
    inputs: str
    kernel: str


@pytest.fixture(scope="module")
def traces(tmp_path_factory) -> dict[str, list[Operation]]:
    """Operations by form; by a library that lets a CPU's build of PyTorch take CUDA tensors."""
    library = build_guard(tmp_path_factory.mktemp("guard"))
    if library is None:
        pytest.skip("no C++ compiler (g++ or clang++) for the pretended CUDA")
    command = [sys.executable, "-m", "tests.support.pretended_cuda", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = defaultdict(list)
    for line in done.stdout.splitlines():
        form, *words = line.split(" ")[:6]
        found[form].append(Operation(*words))
    return found


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_no_slow_kernel_and_no_copy_from_the_host(form, traces):
    """Bugs: group_norm of one group keeps one multiprocessor busy, and TDConvNet copies a zero."""
    operations = traces[",".join(map(str, form))]
    assert not [op for op in operations if "group_norm" in op.name]
    assert not [op for op in operations if "copy" in op.name and op.inputs not in ("cuda", "")]
    assert not [op for op in operations if op.device == "cuda" and "cpu" in op.inputs]
    convolutions = [op for op in operations if "convolution" in op.name]
    assert bool(convolutions) == (form.layout == "bct")
    products = [op for op in operations if op.name in ("aten.mm.default", "aten.addmm.default")]
    assert {op.dtype for op in products} <= {"torch.bfloat16" if form.bf16 else "torch.float32"}
    statistics = [op for op in operations if "rsqrt" in op.name or "sum" in op.name]
    assert {op.dtype for op in statistics} == {"torch.float32"}


def test_validation_waits_for_two_copies_a_batch_and_calls_no_convolution(traces):
    """The counts of frames, and which of them there are; all else is computed on the device."""
    operations = traces["together"]
    assert not [op for op in operations if "convolution" in op.name or "group_norm" in op.name]
    copied = [op for op in operations if op.device == "cuda" and "cpu" in op.inputs]
    assert len(copied) <= 2 and all("_to_copy" in op.name for op in copied)
    assert {op.dtype for op in operations if op.device == "cuda"} == {"torch.float32"}


def test_scores_copy_nothing_from_the_host(traces):
    assert len(traces["scores"]) > 50
    assert {op.device for op in traces["scores"]} == {"cuda"}
    assert {op.inputs for op in traces["scores"]} <= {"cuda", ""}


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
