"""The middle of Conv-TasNet's blocks as operations of PyTorch: Triton's kernels on CUDA.

What :class:`separation.models.fast.block_middle.MixedFrames` computes in formulas. A compiler's own
kernels for them read and write activations in float32 several times over, in the backward pass
above all; here each pass reads and writes each activation once, in its own type. On a CPU the
operations are formulas, for tests.

Tensors are ``(batch, time, channels)``, contiguous; the convolution keeps the length.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from separation.models.fast.block_middle import (
    Dilated,
    add_shifted_frames,
    add_taps,
    apply_prelu,
    differentiate_end,
    finish_statistics,
    fold_norm,
    shift_to_taps,
    sum_items,
    sum_norm_gradients,
    widen,
)

FRAMES, CHANNELS = 64, 64  # of a kernel's tile, for which it leaves sums


def has_kernels(device: torch.device) -> bool:
    """Whether the operations are more than formulas here."""
    return device.type == "cuda" and _find_triton()


@functools.cache
def _find_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


class MixedByKernels(torch.autograd.Function):
    """PReLU, gLN, depthwise convolution and PReLU, of a product whose bias is still to be added."""

    @staticmethod
    def forward(
        hidden: torch.Tensor,
        hidden_bias: torch.Tensor,
        slope: torch.Tensor,
        gamma: torch.Tensor,
        beta: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        last_slope: torch.Tensor,
        place: Dilated,
    ) -> tuple[torch.Tensor, ...]:
        """As the class ``MixedFrames`` of ``block_middle``, of ``hidden + hidden_bias``."""
        operations = torch.ops.separation
        sums = operations.sum_active(hidden, hidden_bias, slope).sum(-1)
        n_values = hidden.shape[1] * hidden.shape[2]
        mean, rstd = finish_statistics(sums[:, 0], sums[:, 1], n_values)
        scale, shift = fold_norm(gamma, beta, mean, rstd)
        mixed, activations, sums = operations.mix(
            *(hidden, hidden_bias, slope, scale, shift),
            *(weight, bias, last_slope, place.padding, place.dilation),
        )
        values, squares = sums.sum(-1).unbind(1)
        return activations, values, squares, mean, rstd, mixed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        hidden, hidden_bias, slope, gamma, beta, weight, _, last_slope, ctx.place = inputs
        ctx.mark_non_differentiable(*output[3:])
        ctx.save_for_backward(
            hidden, hidden_bias, slope, gamma, beta, weight, last_slope, *output[3:]
        )

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple:
        hidden, hidden_bias, slope, gamma, beta, weight, last_slope, *kept = ctx.saved_tensors
        mean, rstd, mixed = kept
        place, taps = (ctx.place.padding, ctx.place.dilation), weight.shape[-1]
        operations = torch.ops.separation
        middle = (hidden, hidden_bias, slope)
        end = (grads[0], mixed, last_slope, grads[1], grads[2])
        grad_mixed, columns = operations.differentiate_end(*end, *middle, taps, *place)
        sums, products, ends = columns.sum(2).transpose(1, 2).split((taps, taps, 2), -1)
        grad_sums, normed_sums = sum_norm_gradients((sums, products), weight, mean, rstd)
        n_values = hidden.shape[1] * hidden.shape[2]
        by_active = rstd.square() * (gamma * normed_sums).sum(-1) / n_values
        neither = rstd * (gamma * grad_sums).sum(-1) / n_values - by_active * mean
        scale, shift = fold_norm(gamma, beta, mean, rstd)
        grad_hidden, starts = operations.differentiate_start(
            *middle, grad_mixed, weight, scale, by_active, neither, *place
        )
        grad_weight = scale[:, 0, :, None] * products + shift[:, 0, :, None] * sums
        ends, starts = ends.sum(0), starts.sum(2).sum(0)
        return (
            *(grad_hidden, starts[0], starts[1].sum().view(1)),
            *(normed_sums.sum(0), grad_sums.sum(0)),
            *(grad_weight.sum(0)[:, None], ends[:, 0], ends[:, 1].sum().view(1), None),
        )


def _count_tiles(hidden: torch.Tensor) -> tuple[int, int]:
    """Of frames and of channels."""
    return -(-hidden.shape[1] // FRAMES), -(-hidden.shape[2] // CHANNELS)


def _make_sums(hidden: torch.Tensor) -> torch.Tensor:
    """Of values and squares, ``(batch, 2, tiles)``; a CPU fills the first place."""
    rows, columns = _count_tiles(hidden)
    return _make(hidden, (len(hidden), 2, rows * columns))


def _make_columns(hidden: torch.Tensor, kinds: int) -> torch.Tensor:
    """Sums over time, ``(batch, kinds, tiles, channels)``; a CPU fills the first place."""
    return _make(hidden, (len(hidden), kinds, _count_tiles(hidden)[0], hidden.shape[2]))


def _make(hidden: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    make = hidden.new_empty if hidden.device.type == "cuda" else hidden.new_zeros
    return make(shape, dtype=torch.promote_types(hidden.dtype, torch.float32))


def _launch(name: str, like: torch.Tensor, *arguments: Any, **constants: int) -> None:
    from separation.models.fast import block_kernels

    kernel = getattr(block_kernels, name)
    block_kernels.launch(kernel, like, (FRAMES, CHANNELS), *arguments, **constants)


def _sum_active(hidden: torch.Tensor, bias: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Sums of prelu(hidden + bias) and of its squares."""
    sums = _make_sums(hidden)
    if uses_kernels(hidden):
        _launch("sum_active_kernel", hidden, hidden, bias, slope, sums, *hidden.shape[1:])
    else:
        active = apply_prelu(widen(hidden) + bias, slope)
        sums[..., 0] = torch.stack(sum_items(active), 1)
    return sums


def _mix(
    hidden: torch.Tensor,
    hidden_bias: torch.Tensor,
    slope: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    last_slope: torch.Tensor,
    padding: int,
    dilation: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The convolution's output, its PReLU and that one's sums."""
    mixed, active = torch.empty_like(hidden), torch.empty_like(hidden)
    sums, taps = _make_sums(hidden), weight.shape[-1]
    if uses_kernels(hidden):
        given = (hidden, hidden_bias, slope, scale, shift, weight, bias, last_slope)
        sizes = (*hidden.shape[1:], padding, dilation)
        _launch("mix_kernel", hidden, *given, mixed, active, sums, *sizes, TAPS=taps)
        return mixed, active, sums
    normed = apply_prelu(widen(hidden) + hidden_bias, slope) * scale + shift
    padded = functional.pad(normed, (0, 0, padding, padding))
    mixed.copy_(add_shifted_frames(padded, weight, bias, Dilated(padding, dilation)))
    active.copy_(apply_prelu(widen(mixed), last_slope))
    sums[..., 0] = torch.stack(sum_items(active), 1)
    return mixed, active, sums


def _differentiate_end(
    grad: torch.Tensor,
    mixed: torch.Tensor,
    last_slope: torch.Tensor,
    by_sum: torch.Tensor,
    by_square: torch.Tensor,
    hidden: torch.Tensor,
    hidden_bias: torch.Tensor,
    slope: torch.Tensor,
    taps: int,
    padding: int,
    dilation: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of the convolution's output, with columns.

    Those are of each tap's gradient, alone and then times what the tap read before the norm; of the
    bias's; of the last slope's.
    """
    grad_mixed, columns = torch.empty_like(mixed), _make_columns(mixed, 2 * taps + 2)
    if uses_kernels(mixed):
        given = (grad, mixed, last_slope, by_sum, by_square, hidden, hidden_bias, slope)
        sizes = (*mixed.shape[1:], columns.shape[2], padding, dilation)
        outputs = (grad_mixed, columns)
        _launch("differentiate_end_kernel", mixed, *given, *outputs, *sizes, TAPS=taps)
        return grad_mixed, columns
    result, by_slope = differentiate_end(grad, by_sum, by_square, widen(mixed), last_slope)
    active = apply_prelu(widen(hidden) + hidden_bias, slope)
    parts = shift_to_taps(result, taps, hidden.shape[1], Dilated(padding, dilation))
    sums = [part.sum(1) for part in parts] + [(part * active).sum(1) for part in parts]
    columns[:, :, 0] = torch.stack([*sums, result.sum(1), by_slope.sum(1)], 1)
    return grad_mixed.copy_(result), columns


def _differentiate_start(
    hidden: torch.Tensor,
    bias: torch.Tensor,
    slope: torch.Tensor,
    grad_mixed: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    by_active: torch.Tensor,
    neither: torch.Tensor,
    padding: int,
    dilation: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of ``hidden``; columns of it and of the slope's."""
    grad_hidden, columns = torch.empty_like(hidden), _make_columns(hidden, 2)
    taps = weight.shape[-1]
    if uses_kernels(hidden):
        given = (hidden, bias, slope, grad_mixed, weight, scale, by_active, neither)
        sizes = (*hidden.shape[1:], columns.shape[2], padding, dilation)
        outputs = (grad_hidden, columns)
        _launch("differentiate_start_kernel", hidden, *given, *outputs, *sizes, TAPS=taps)
        return grad_hidden, columns
    x = widen(hidden) + bias
    parts = shift_to_taps(grad_mixed, taps, hidden.shape[1], Dilated(padding, dilation))
    grad = add_taps(parts, weight) * scale - neither[:, None, None]
    grad = grad - apply_prelu(x, slope) * by_active[:, None, None]
    result = torch.where(x > 0, grad, slope * grad)
    by_slope = torch.where(x > 0, 0, grad * x)
    columns[:, :, 0] = torch.stack([result.sum(1), by_slope.sum(1)], 1)
    return grad_hidden.copy_(result), columns


def uses_kernels(values: torch.Tensor) -> bool:
    """Whether an operation on these values is a kernel, not the formula."""
    return values.device.type == "cuda"


def _make_mixed(hidden: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, ...]:
    return torch.empty_like(hidden), torch.empty_like(hidden), _make_sums(hidden)


def _make_gradient(hidden: torch.Tensor, kinds: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(hidden), _make_columns(hidden, kinds)


# name and signature; what it does; outputs without values, for the compiler
OPERATIONS: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = [
    (
        "sum_active(Tensor hidden, Tensor bias, Tensor slope) -> Tensor",
        _sum_active,
        lambda hidden, *rest: _make_sums(hidden),
    ),
    (
        "mix(Tensor hidden, Tensor hidden_bias, Tensor slope, Tensor scale, Tensor shift, "
        "Tensor weight, Tensor bias, Tensor last_slope, int padding, int dilation) "
        "-> (Tensor, Tensor, Tensor)",
        _mix,
        _make_mixed,
    ),
    (
        "differentiate_end(Tensor grad, Tensor mixed, Tensor last_slope, Tensor by_sum, "
        "Tensor by_square, Tensor hidden, Tensor hidden_bias, Tensor slope, int taps, "
        "int padding, int dilation) -> (Tensor, Tensor)",
        _differentiate_end,
        lambda grad, mixed, *rest: _make_gradient(mixed, 2 * rest[-3] + 2),
    ),
    (
        "differentiate_start(Tensor hidden, Tensor bias, Tensor slope, Tensor grad_mixed, "
        "Tensor weight, Tensor scale, Tensor by_active, Tensor neither, int padding, "
        "int dilation) -> (Tensor, Tensor)",
        _differentiate_start,
        lambda hidden, *rest: _make_gradient(hidden, 2),
    ),
]
LIBRARY = torch.library.Library("separation", "DEF")  # kept: its operations go with it
for schema, function, fake in OPERATIONS:
    LIBRARY.define(schema)
    name = schema.split("(")[0]
    for key in ("CPU", "CUDA"):
        LIBRARY.impl(name, function, key)
    torch.library.register_fake(f"separation::{name}", fake, lib=LIBRARY)
