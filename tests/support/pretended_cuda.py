"""Operations that a form of Conv-TasNet dispatches on CUDA, traced without a GPU.

``python -m tests.support.pretended_cuda GUARD LAYOUT WRITTEN BF16 COMPILED`` prints a line for each
operation: its name, dtype and device of its output, its inputs' devices, a convolution's kernel.
The layout ``together`` is the form for inference, with mixtures of unlike lengths.
In a process of its own, because a guard for devices that are not there is registered for good.
"""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from separation.models.asteroid import import_asteroid
from separation.models.fast import time_major
from separation.models.fast.inference import InferenceConvTasNet
from separation.models.fast.layers import FastForm, make_fast

GUARD = """
#include <c10/core/impl/DeviceGuardImplInterface.h>
namespace c10 { namespace impl {
C10_REGISTER_GUARD_IMPL(CUDA, NoOpDeviceGuardImpl<DeviceType::CUDA>)
}}
"""


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


def main(guard: str, layout: str, *switches: str) -> None:
    """Run the form forward and print its operations."""
    ctypes.CDLL(guard)
    written, bf16, compiled = (switch == "yes" for switch in switches)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    if layout == "together":
        together = InferenceConvTasNet(make_model(mode))
        with mode, torch.no_grad(), Operations() as seen:
            estimates = together(place(mode, (3, 24001)), [24001, 24001, 20000])
        assert estimates.shape == (3, 2, 24001)
        print("\n".join(seen.lines))
        return
    form: Any = FastForm(depthwise=compiled, gradients=written, layout=layout, kernels=written)
    fast = make_fast(make_model(mode), form)
    if compiled:
        torch.compiler.is_compiling = lambda: True
    if written:  # with Triton, which a CPU's build of PyTorch comes without
        time_major.has_kernels = lambda device: True
    with mode, torch.no_grad(), Operations() as seen:
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        torch.set_autocast_enabled("cuda", bf16)
        estimates = fast(place(mode, (4, 24001)))
    assert estimates.shape == (4, 2, 24001)
    print("\n".join(seen.lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
