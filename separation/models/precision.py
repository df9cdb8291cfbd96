"""Which arithmetic a network's parts use: bfloat16 where hardware has it, float32 where it must."""

import functools
from collections.abc import Callable
from typing import Any

import torch


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def has_amx() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in tiles (AMX)."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def in_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: a function computes in float32, whatever the autocast around it.

    For Fourier transforms and complex numbers, which have no bfloat16. Tensors of fewer bits that
    it is given become float32; what it returns stays as it is.

    >>> @in_float32
    ... def make_stft(wav):
    ...     window = torch.hann_window(8)
    ...     return torch.stft(wav, 8, window=window, return_complex=True)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     make_stft(torch.ones(1, 32, dtype=torch.bfloat16)).dtype
    torch.complex64
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        values = [*args, *kwargs.values()]
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        device = tensors[0].device.type if tensors else "cpu"
        with torch.autocast(device, enabled=False):
            return function(*map(_widen, args), **{k: _widen(v) for k, v in kwargs.items()})

    return run


def _widen(value: Any) -> Any:
    is_narrow = isinstance(value, torch.Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if is_narrow else value


def allow_tf32(device: torch.device) -> None:
    """Products of float32 matrices on CUDA round their factors to TF32, as convolutions do.

    PyTorch allows it for convolutions only, so the same layer would be slower as a product, six
    times on an H100. By the switch that :func:`separation.models.inference.multiply_exactly` turns:
    after ``torch.set_float32_matmul_precision``, PyTorch refuses to say what a backend's switch is.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
