"""Operations that forms of Conv-TasNet and its scores dispatch on CUDA, traced without a GPU.

``python -m tests.support.pretended_cuda GUARD`` prints a line for each operation: the form, its
name, dtype and device of its output, its inputs' devices, a convolution's kernel. Forms are
``LAYOUT,WRITTEN,BF16,COMPILED`` in zeros and ones; ``together``, the form for inference with
mixtures of unlike lengths; and ``scores`` of such mixtures.
In a process of its own, because a guard for devices that are not there is registered for good.
"""

import contextlib
import ctypes
import functools
import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from separation.models.asteroid import import_asteroid
from separation.models.fast import time_major
from separation.models.fast.inference import InferenceConvTasNet
from separation.models.fast.layers import FastForm, make_fast
from separation.training.loss import make_pit_loss
from separation.training.validation import join_signals

GUARD = """
#include <c10/core/impl/DeviceGuardImplInterface.h>
namespace c10 { namespace impl {
C10_REGISTER_GUARD_IMPL(CUDA, NoOpDeviceGuardImpl<DeviceType::CUDA>)
}}
"""


class Form(NamedTuple):
    """What is traced, see :class:`separation.models.fast.layers.FastForm`."""

    layout: str
    written: int  # 1: gradients written out, with Triton's kernels
    bf16: int
    compiled: int


KINDS = (("bct", 0, 0), ("btc", 0, 0), ("btc", 0, 1), ("btc", 1, 1))
FORMS = [
    Form(layout, written, bf16, compiled)
    for (layout, written, compiled), bf16 in itertools.product(KINDS, (0, 1))
]


def build_guard(folder: Path) -> Path | None:
    """Compile the guard; None where there is no C++ compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    source, library = folder / "guard.cpp", folder / "guard.so"
    source.write_text(GUARD)
    root = Path(torch.__file__).parent
    subprocess.run(
        [
            *(compiler, "-std=c++20", "-fPIC", "-shared", f"-I{root / 'include'}", str(source)),
            *("-o", str(library), f"-L{root / 'lib'}", "-lc10"),
        ],
        check=True,
    )
    return library


class Operations(TorchDispatchMode):
    """Notes each operation as a line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in args if isinstance(value, torch.Tensor)]
        devices = "+".join(sorted({tensor.device.type for tensor in tensors}))
        first = result[0] if isinstance(result, tuple | list) else result
        if not isinstance(first, torch.Tensor):
            return result
        kernel = "x".join(map(str, args[1].shape)) if "convolution" in str(func) else ""
        self.lines.append(f"{func} {first.dtype} {first.device.type} {devices} {kernel}")
        return result


def place(mode: FakeTensorMode, shape: Any) -> torch.Tensor:
    """A tensor without values, on a CUDA device that need not be there."""
    return FakeTensor(mode, torch.empty(shape, device="meta"), torch.device("cuda:0"))


def make_model(mode: FakeTensorMode) -> Any:
    """Conv-TasNet of the usual size, two blocks."""
    with torch.device("meta"):
        sizes: Any = {"n_filters": 512, "hid_chan": 512, "n_blocks": 2, "n_repeats": 1}
        model = import_asteroid("models").ConvTasNet(n_src=2, **sizes)
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(place(mode, parameter.shape))
    return model


def trace_form(form: Form, mode: FakeTensorMode) -> Operations:
    """The operations of a form's forward pass."""
    fast = make_fast(
        make_model(mode),
        FastForm(
            depthwise=bool(form.compiled),
            gradients=bool(form.written),
            layout=form.layout,  # type: ignore[arg-type]
            kernels=bool(form.written),
        ),
    )
    with contextlib.ExitStack() as stack:
        if form.compiled:
            stack.enter_context(mock.patch("torch.compiler.is_compiling", lambda: True))
        if form.written:  # with Triton, which a CPU's build of PyTorch comes without
            stack.enter_context(mock.patch.object(time_major, "has_kernels", lambda device: True))
        stack.enter_context(mode)
        stack.enter_context(torch.no_grad())
        seen = stack.enter_context(Operations())
        torch.set_autocast_dtype("cuda", torch.bfloat16)  # torch.autocast asks for a device
        torch.set_autocast_enabled("cuda", bool(form.bf16))
        stack.callback(torch.set_autocast_enabled, "cuda", False)
        estimates = fast(place(mode, (4, 24001)))
    assert estimates.shape == (4, 2, 24001)
    return seen


def trace_together(mode: FakeTensorMode) -> Operations:
    """Those of the form for inference."""
    together = InferenceConvTasNet(make_model(mode))
    with mode, torch.no_grad(), Operations() as seen:
        estimates = together(place(mode, (3, 24001)), [24001, 24001, 20000])
    assert estimates.shape == (3, 2, 24001)
    return seen


def trace_scores(mode: FakeTensorMode) -> Operations:
    """Those of the loss of dev mixtures of unlike lengths, from the second time on."""
    loss = make_pit_loss()
    pairs = [[place(mode, (2, length)) for length in (24001, 20000)] for _ in range(2)]
    with mode, torch.no_grad():
        for _ in range(2):  # the first makes the permutations, which stay
            with Operations() as seen:
                loss(*map(join_signals, pairs))
    return seen


def main(guard: str) -> None:
    """Print the operations of all forms."""
    ctypes.CDLL(guard)
    traces = {",".join(map(str, form)): functools.partial(trace_form, form) for form in FORMS}
    traces |= {"together": trace_together, "scores": trace_scores}
    for name, trace in traces.items():
        for line in trace(FakeTensorMode(allow_non_fake_inputs=True)).lines:
            print(name, line)


if __name__ == "__main__":
    main(*sys.argv[1:])
