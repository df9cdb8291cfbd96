"""Triton's kernels for the middle of Conv-TasNet's blocks, see ``block_operations``.

Each program takes a tile of frames and channels of one item; sums leave it as one value a tile or
one row of channels a tile, and are added up afterwards. Activations are read and written in their
own type, all arithmetic is float32.
"""

from typing import Any

import torch
import triton
import triton.language as tl

WARPS = 4


@triton.jit
def _place(n_frames, n_channels, FRAMES: tl.constexpr, CHANNELS: tl.constexpr):
    """A program's frames, channels, which of them there are, and its item's first value."""
    n_columns = tl.cdiv(n_channels, CHANNELS)
    row, column = tl.program_id(0) // n_columns, tl.program_id(0) % n_columns
    frames = row * FRAMES + tl.arange(0, FRAMES)
    channels = column * CHANNELS + tl.arange(0, CHANNELS)
    start = tl.program_id(1).to(tl.int64) * n_frames * n_channels
    return frames, channels, start, row


@triton.jit
def _prelu(x, slope):
    return tl.where(x > 0, x, slope * x)


@triton.jit
def _read(values, start, frames, channels, n_frames, n_channels):
    """A tile as float32; zero outside."""
    inside = (frames >= 0) & (frames < n_frames)
    mask = inside[:, None] & (channels < n_channels)[None, :]
    offsets = frames[:, None] * n_channels + channels[None, :]
    return tl.load(values + start + offsets, mask=mask, other=0.0).to(tl.float32), mask, offsets


@triton.jit
def sum_active_kernel(
    hidden, bias, slope, sums, n_frames, n_channels,
    FRAMES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sums of prelu(hidden + bias) and of its squares, ``(batch, 2, tiles)``."""
    frames, channels, start, _ = _place(n_frames, n_channels, FRAMES, CHANNELS)
    x, mask, _ = _read(hidden, start, frames, channels, n_frames, n_channels)
    added = tl.load(bias + channels, mask=channels < n_channels, other=0.0)
    active = tl.where(mask, _prelu(x + added[None, :], tl.load(slope)), 0.0)
    target = sums + tl.program_id(1) * 2 * tl.num_programs(0) + tl.program_id(0)
    tl.store(target, tl.sum(tl.sum(active, 1), 0))
    tl.store(target + tl.num_programs(0), tl.sum(tl.sum(active * active, 1), 0))


@triton.jit
def mix_kernel(
    hidden, bias, slope, scale, shift, weight, tap_bias, last_slope, mixed, active, sums,
    n_frames, n_channels, padding, dilation,
    TAPS: tl.constexpr, FRAMES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """PReLU, norm, depthwise convolution (``mixed``) and PReLU (``active``, with its sums)."""
    frames, channels, start, _ = _place(n_frames, n_channels, FRAMES, CHANNELS)
    item, there = tl.program_id(1), channels < n_channels
    added = tl.load(bias + channels, mask=there, other=0.0)[None, :]
    factor = tl.load(scale + item * n_channels + channels, mask=there, other=0.0)[None, :]
    addend = tl.load(shift + item * n_channels + channels, mask=there, other=0.0)[None, :]
    first_slope = tl.load(slope)
    total = tl.zeros((FRAMES, CHANNELS), tl.float32)
    total += tl.load(tap_bias + channels, mask=there, other=0.0)[None, :]
    for tap in tl.static_range(TAPS):
        read = frames + tap * dilation - padding
        x, mask, _ = _read(hidden, start, read, channels, n_frames, n_channels)
        normed = _prelu(x + added, first_slope) * factor + addend
        tap_weight = tl.load(weight + channels * TAPS + tap, mask=there, other=0.0)[None, :]
        total += tl.where(mask, normed, 0.0) * tap_weight
    mask = (frames < n_frames)[:, None] & there[None, :]
    offsets = start + frames[:, None] * n_channels + channels[None, :]
    rounded = total.to(mixed.dtype.element_ty)
    tl.store(mixed + offsets, rounded, mask=mask)
    result = _prelu(rounded.to(tl.float32), tl.load(last_slope)).to(active.dtype.element_ty)
    tl.store(active + offsets, result, mask=mask)
    values = tl.where(mask, result.to(tl.float32), 0.0)
    target = sums + item * 2 * tl.num_programs(0) + tl.program_id(0)
    tl.store(target, tl.sum(tl.sum(values, 1), 0))
    tl.store(target + tl.num_programs(0), tl.sum(tl.sum(values * values, 1), 0))


@triton.jit
def _store_column(columns, row, n_rows, kind, n_kinds, channels, n_channels, values):
    """A row of channels into ``(batch, kinds, rows, channels)``."""
    target = ((tl.program_id(1) * n_kinds + kind) * n_rows + row) * n_channels + channels
    tl.store(columns + target, values, mask=channels < n_channels)


@triton.jit
def differentiate_end_kernel(
    grad, mixed, last_slope, by_sum, by_square, hidden, bias, slope, grad_mixed, columns,
    n_frames, n_channels, n_rows, padding, dilation,
    TAPS: tl.constexpr, FRAMES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Gradient of the convolution's output, with sums over time.

    Of each tap where it read a frame, alone and times what it read before the norm; of all; and
    what makes the slope's gradient.
    """
    frames, channels, start, row = _place(n_frames, n_channels, FRAMES, CHANNELS)
    item, last, first = tl.program_id(1), tl.load(last_slope), tl.load(slope)
    x, mask, offsets = _read(mixed, start, frames, channels, n_frames, n_channels)
    g, _, _ = _read(grad, start, frames, channels, n_frames, n_channels)
    g += tl.load(by_sum + item) + 2 * tl.load(by_square + item) * _prelu(x, last)
    result = tl.where(mask, tl.where(x > 0, g, last * g), 0.0)
    tl.store(grad_mixed + start + offsets, result.to(grad_mixed.dtype.element_ty), mask=mask)
    kinds: tl.constexpr = 2 * TAPS + 2
    added = tl.load(bias + channels, mask=channels < n_channels, other=0.0)[None, :]
    for tap in tl.static_range(TAPS):
        read = frames + tap * dilation - padding
        h, there, _ = _read(hidden, start, read, channels, n_frames, n_channels)
        seen = tl.where(there, result, 0.0)
        products = tl.sum(seen * _prelu(h + added, first), 0)
        _store_column(columns, row, n_rows, tap, kinds, channels, n_channels, tl.sum(seen, 0))
        _store_column(columns, row, n_rows, TAPS + tap, kinds, channels, n_channels, products)
    by_slope = tl.where(mask & (x <= 0), g * x, 0.0)
    _store_column(columns, row, n_rows, 2 * TAPS, kinds, channels, n_channels, tl.sum(result, 0))
    _store_column(
        columns, row, n_rows, 2 * TAPS + 1, kinds, channels, n_channels, tl.sum(by_slope, 0)
    )


@triton.jit
def differentiate_start_kernel(
    hidden, bias, slope, grad_mixed, weight, factor, by_active, neither, grad_hidden, columns,
    n_frames, n_channels, n_rows, padding, dilation,
    TAPS: tl.constexpr, FRAMES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Gradient of ``hidden``; its sums over time and the slope's gradient."""
    frames, channels, start, row = _place(n_frames, n_channels, FRAMES, CHANNELS)
    item, there = tl.program_id(1), channels < n_channels
    total = tl.zeros((FRAMES, CHANNELS), tl.float32)
    for tap in tl.static_range(TAPS):
        read = frames - tap * dilation + padding
        g, _, _ = _read(grad_mixed, start, read, channels, n_frames, n_channels)
        total += g * tl.load(weight + channels * TAPS + tap, mask=there, other=0.0)[None, :]
    x, mask, offsets = _read(hidden, start, frames, channels, n_frames, n_channels)
    x += tl.load(bias + channels, mask=there, other=0.0)[None, :]
    first_slope = tl.load(slope)
    total *= tl.load(factor + item * n_channels + channels, mask=there, other=0.0)[None, :]
    total -= _prelu(x, first_slope) * tl.load(by_active + item) + tl.load(neither + item)
    result = tl.where(mask, tl.where(x > 0, total, first_slope * total), 0.0)
    tl.store(grad_hidden + start + offsets, result.to(grad_hidden.dtype.element_ty), mask=mask)
    by_slope = tl.where(mask & (x <= 0), total * x, 0.0)
    _store_column(columns, row, n_rows, 0, 2, channels, n_channels, tl.sum(result, 0))
    _store_column(columns, row, n_rows, 1, 2, channels, n_channels, tl.sum(by_slope, 0))


def launch(
    kernel: Any, like: torch.Tensor, tile: tuple[int, int], *arguments: Any, **constants: int
) -> None:
    """Start a kernel over all tiles of ``like``, ``(batch, time, channels)``.

    Its tensors are made contiguous, which outputs are: autograd gives gradients that are expanded.

    Args:
        kernel: of this file.
        like: whose size the tiles cover.
        tile: frames and channels of one.
        arguments: the kernel's.
        constants: the kernel's, beside the tile's size.
    """
    given = [part.contiguous() if isinstance(part, torch.Tensor) else part for part in arguments]
    n_items, n_frames, n_channels = like.shape
    frames, channels = tile
    tiles = triton.cdiv(n_frames, frames) * triton.cdiv(n_channels, channels)
    kernel[(tiles, n_items)](*given, **constants, FRAMES=frames, CHANNELS=channels, num_warps=WARPS)
