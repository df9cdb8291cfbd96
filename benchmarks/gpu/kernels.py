"""Forms of the layers that take a step's time, against one another on a device."""

import functools
from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from benchmarks.gpu.timing import measure_repeats

COPY_BYTES_PER_S = 3e12  # of an H100, for the floors of the norms
STRIDE = 8
Finding = tuple[str, str]


def compare_kernels(device: torch.device, batch: int, *, tiny: bool) -> Iterator[Finding]:
    """Name and milliseconds of each form, at the sizes of the paper's best configuration."""
    channels, frames = (16, 99) if tiny else (512, 2999)
    for n_items, length in ((1, 5 * frames // 3), (batch, frames)):
        yield _compare_norms(torch.randn(n_items, channels, length, device=device))
    for name, form, x in (
        *_list_products(device, batch, channels, frames),
        *_list_ends(device, batch, channels, frames),
    ):
        ms = _time(functools.partial(_run_both_ways, form, x, torch.ones_like(form(x))), device)
        yield name, f"{ms:.3f} ms forward and backward, bf16"


def _run_both_ways(form: Callable, x: torch.Tensor, gradient: torch.Tensor) -> None:
    form(x).backward(gradient)


def _time(call: Callable[[], object], device: torch.device) -> float:
    return 1e3 * measure_repeats(call, 20, 1, 3, device)[0]


def normalise_by_moments(x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Global norm of ``(batch, channels, time)`` by ``var_mean``, which uses the whole device."""
    variance, mean = torch.var_mean(x, (1, 2), correction=0, keepdim=True)
    scale = gain[:, None] * torch.rsqrt(variance + 1e-8)
    return x * scale + (bias[:, None] - mean * scale)


def _compare_norms(x: torch.Tensor) -> Finding:
    gain, bias = (torch.randn(x.shape[1], device=x.device) for _ in range(2))
    one = _time(lambda: functional.group_norm(x, 1, gain, bias, 1e-8), x.device)
    two = _time(lambda: normalise_by_moments(x, gain, bias), x.device)
    floor = 3 * x.nbytes / COPY_BYTES_PER_S * 1e3
    text = f"{one:.3f} ms; var_mean {two:.3f} ms; floor at 3 TB/s {floor:.3f} ms"
    return f"eager group_norm, batch {len(x)}", text


def _list_products(
    device: torch.device, batch: int, wide: int, frames: int
) -> list[tuple[str, Callable, torch.Tensor]]:
    """A 1x1 convolution from a quarter of the channels, as what torch has for it."""
    narrow = wide // 4
    weight = _draw(device, wide, narrow, 1)
    even = -(-frames // 8) * 8
    last = _draw(device, batch, narrow, frames, 1).detach()
    last = last.contiguous(memory_format=torch.channels_last).requires_grad_()
    odd_x, even_x = _draw(device, batch, narrow, frames), _draw(device, batch, narrow, even)
    rows = _draw(device, batch, frames, narrow)
    return [
        ("1x1 conv1d (B, C, T)", lambda x: functional.conv1d(x, weight), odd_x),
        ("  matmul(W, x), odd T", lambda x: weight[:, :, 0] @ x, odd_x),
        ("  matmul(W, x), T of eights", lambda x: weight[:, :, 0] @ x, even_x),
        ("  linear (B, T, C)", lambda x: functional.linear(x, weight[:, :, 0]), rows),
        ("  conv2d channels_last", lambda x: functional.conv2d(x, weight[..., None]), last),
    ]


def _list_ends(
    device: torch.device, batch: int, channels: int, frames: int
) -> list[tuple[str, Callable, torch.Tensor]]:
    """Encoder and decoder."""
    taps = _draw(device, channels, 1, 2 * STRIDE)
    waves = _draw(device, batch, 1, STRIDE * (frames + 1))
    masked = _draw(device, 2 * batch, channels, frames)

    def encode(x: torch.Tensor) -> torch.Tensor:
        return functional.conv1d(x, taps, stride=STRIDE)

    def decode(x: torch.Tensor) -> torch.Tensor:
        return functional.conv_transpose1d(x, taps, stride=STRIDE)

    return [
        ("encoder conv1d 1 -> C", encode, waves),
        ("decoder conv_transpose1d C -> 1", decode, masked),
    ]


def _draw(device: torch.device, *shape: int) -> torch.Tensor:
    return torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True)
