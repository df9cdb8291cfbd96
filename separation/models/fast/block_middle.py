"""The middle of Conv-TasNet's blocks on ``(batch, time, channels)``: norm, depthwise, PReLU.

Between a block's two products of matrices lie PReLU, gLN, a depthwise convolution, PReLU, gLN. Of
the last norm only the statistics are computed here: its scale and shift are the next product's
(:class:`separation.models.fast.time_major.NormedProduct`). Arithmetic is float32 or wider; what
goes in and out in bfloat16 stays so. Sums run over channels, the innermost axis, and then over
time, or over time alone, so that a compiler joins them with what makes or reads the activations.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

EPS = 1e-8  # of Asteroid's GlobLN


@dataclass(frozen=True)
class Dilated:
    """Padding on both sides and frames between two taps of a depthwise convolution."""

    padding: int
    dilation: int

    def list_starts(self, taps: int) -> list[int]:
        """The first frame that each tap reads, in the padded input."""
        return [tap * self.dilation for tap in range(taps)]


def widen(x: torch.Tensor) -> torch.Tensor:
    """Float32, or what is wider already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def apply_prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """PReLU of one slope; its gradient is summed over channels first."""
    return torch.where(x > 0, x, slope.expand(*x.shape[:-1], 1) * x)


def measure_items(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and 1/std of each item, each ``(batch,)``, of ``(batch, time, channels)``.

    Compiled, from the sums of values and squares, which one pass makes; else torch's own kernel.
    """
    if not torch.compiler.is_compiling():
        variance, mean = torch.var_mean(widen(x), (1, 2), correction=0)
        return mean, torch.rsqrt(variance + EPS)
    return finish_statistics(*sum_items(x), x.shape[1] * x.shape[2])


def sum_items(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of values and of squares of each item, ``(batch,)``."""
    wide = widen(x)
    return wide.sum(-1).sum(-1), wide.square().sum(-1).sum(-1)


def finish_statistics(
    values: torch.Tensor, squares: torch.Tensor, n_values: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and 1/std from sums; rounding must not make a variance negative."""
    mean = values / n_values
    variance = (squares / n_values - mean.square()).clamp_min(0)
    return mean, torch.rsqrt(variance + EPS)


def fold_norm(
    gamma: torch.Tensor, beta: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A norm as factor and addend of each item's channels, ``(batch, 1, channels)``."""
    scale = gamma * rstd[:, None]
    shift = beta - mean[:, None] * scale
    return scale[:, None], shift[:, None]


def add_shifted_frames(
    padded: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, place: Dilated
) -> torch.Tensor:
    """Depthwise convolution of ``(batch, padded time, channels)`` along time, in float32.

    Args:
        padded: with its padding already, of any type.
        weight: ``(channels, 1, taps)``.
        bias: ``(channels,)``.
        place: of the convolution.
    """
    taps = weight.shape[-1]
    n_out = padded.shape[1] - (taps - 1) * place.dilation
    total = bias.expand(1, 1, -1)
    for tap, start in enumerate(place.list_starts(taps)):
        total = torch.addcmul(total, widen(padded[:, start : start + n_out]), weight[:, 0, tap])
    return total


def mix_frames(
    hidden: torch.Tensor,
    slopes: tuple[torch.Tensor, torch.Tensor],
    norm: tuple[torch.Tensor, torch.Tensor],
    taps: tuple[torch.Tensor, torch.Tensor],
    place: Dilated,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """PReLU, gLN, depthwise convolution and PReLU, for autograd to differentiate.

    Args:
        hidden: ``(batch, time, channels)``.
        slopes: of the two PReLUs, ``(1,)`` each.
        norm: gamma and beta, ``(channels,)`` each.
        taps: weight ``(channels, 1, taps)`` and bias ``(channels,)``.
        place: of the convolution.

    Returns:
        activations of ``hidden``'s type and shape; their mean and 1/std, ``(batch,)``.
    """
    active = apply_prelu(widen(hidden), slopes[0])
    scale, shift = fold_norm(*norm, *measure_items(active))
    normed = torch.addcmul(shift, active, scale).to(hidden.dtype)
    padded = functional.pad(normed, (0, 0, place.padding, place.padding))
    mixed = add_shifted_frames(padded, *taps, place).to(hidden.dtype)
    activations = apply_prelu(widen(mixed), slopes[1]).to(hidden.dtype)
    return activations, *measure_items(activations)


class MixedFrames(torch.autograd.Function):
    """The same with its gradients written out: two passes over the activations.

    The first takes the sums over time of the convolution's gradient times each tap's input. With
    them the sums that the norm's gradient needs are known before its own gradient is computed,
    because the convolution is linear; see
    :class:`separation.models.fast.gradients.NormOfPReLU` for the norm's formula.
    """

    @staticmethod
    def forward(
        hidden: torch.Tensor,
        slope: torch.Tensor,
        gamma: torch.Tensor,
        beta: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        last_slope: torch.Tensor,
        place: Dilated,
    ) -> tuple[torch.Tensor, ...]:
        """Activations as :func:`mix_frames`, and their sums of values and squares, ``(batch,)``.

        Kept for the gradient: mean and 1/std of the norm, and the convolution's output.
        """
        active = apply_prelu(widen(hidden), slope)
        n_values = hidden.shape[1] * hidden.shape[2]
        mean, rstd = finish_statistics(*sum_items(active), n_values)
        scale, shift = fold_norm(gamma, beta, mean, rstd)
        normed = torch.addcmul(shift, active, scale).to(hidden.dtype)
        padded = functional.pad(normed, (0, 0, place.padding, place.padding))
        mixed = add_shifted_frames(padded, weight, bias, place).to(hidden.dtype)
        activations = apply_prelu(widen(mixed), last_slope).to(hidden.dtype)
        return activations, *sum_items(activations), mean, rstd, mixed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        hidden, slope, gamma, beta, weight, _, last_slope, ctx.place = inputs
        ctx.mark_non_differentiable(*output[3:])
        ctx.save_for_backward(hidden, slope, gamma, beta, weight, last_slope, *output[3:])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple:
        hidden, slope, gamma, beta, weight, last_slope, mean, rstd, mixed = ctx.saved_tensors
        grad_mixed, by_slope = differentiate_end(
            grads[0], grads[1], grads[2], widen(mixed), last_slope
        )
        n_frames = hidden.shape[1]
        narrow = grad_mixed.to(hidden.dtype)
        shifted = shift_to_taps(narrow, weight.shape[-1], n_frames, ctx.place)
        wide = widen(hidden)
        active = apply_prelu(wide, slope)
        sums = torch.stack([part.sum(1) for part in shifted], -1)
        products = torch.stack([(part * active).sum(1) for part in shifted], -1)
        grad_sums, normed_sums = sum_norm_gradients((sums, products), weight, mean, rstd)
        n_values = n_frames * hidden.shape[2]
        mean_grad = (gamma * grad_sums).sum(-1) / n_values
        mean_normed = (gamma * normed_sums).sum(-1) / n_values
        by_active = rstd.square() * mean_normed
        neither = rstd * mean_grad - by_active * mean
        grad_normed = add_taps(shifted, weight)
        grad_active = (
            grad_normed * (gamma * rstd[:, None])[:, None]
            - active * by_active[:, None, None]
            - neither[:, None, None]
        )
        grad_hidden = torch.where(wide > 0, grad_active, slope * grad_active)
        grad_slope = torch.where(wide > 0, 0, grad_active * wide).sum(-1).sum().view(1)
        scale, shift = fold_norm(gamma, beta, mean, rstd)
        grad_weight = (scale[:, 0, :, None] * products + shift[:, 0, :, None] * sums).sum(0)
        return (
            *(grad_hidden.to(hidden.dtype), grad_slope, normed_sums.sum(0), grad_sums.sum(0)),
            *(grad_weight[:, None], grad_mixed.sum(1).sum(0), by_slope.sum(-1).sum().view(1), None),
        )


def differentiate_end(
    by_value: torch.Tensor,
    by_sum: torch.Tensor,
    by_square: torch.Tensor,
    mixed: torch.Tensor,
    slope: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient of the convolution's output ``mixed``, and what of it makes the last slope's.

    Args:
        by_value: gradient of the activations, as ``mixed``.
        by_sum: of each item's sum of them, ``(batch,)``.
        by_square: of each item's sum of their squares, likewise.
        mixed: ``(batch, time, channels)``, float32 or wider.
        slope: of the last PReLU.
    """
    squares = 2 * by_square[:, None, None] * apply_prelu(mixed, slope)
    grad = widen(by_value) + by_sum[:, None, None] + squares
    return torch.where(mixed > 0, grad, slope * grad), torch.where(mixed > 0, 0, grad * mixed)


def shift_to_taps(
    grad_mixed: torch.Tensor, taps: int, n_frames: int, place: Dilated
) -> list[torch.Tensor]:
    """The transposed convolution's parts: each tap's frames of the gradient, at its input's places.

    Args:
        grad_mixed: of the convolution's output.
        taps: of the convolution.
        n_frames: of its input.
        place: of the convolution.

    Returns:
        for each tap ``(batch, n_frames, channels)``, float32 or wider.
    """
    before = (taps - 1) * place.dilation - place.padding
    after = n_frames + place.padding - grad_mixed.shape[1]
    padded = functional.pad(grad_mixed, (0, 0, before, after))
    starts = place.list_starts(taps)[::-1]
    return [widen(padded[:, start : start + n_frames]) for start in starts]


def sum_norm_gradients(
    sums: tuple[torch.Tensor, torch.Tensor],
    weight: torch.Tensor,
    mean: torch.Tensor,
    rstd: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over time ``(batch, channels)`` of the norm's output gradient, alone and times norm.

    Args:
        sums: of each tap's gradient, alone and times the norm's input, ``(batch, channels, taps)``.
        weight: of the convolution.
        mean: of the norm's input, ``(batch,)``.
        rstd: 1/std, likewise.
    """
    grad_sums, product_sums = ((part * weight[:, 0]).sum(-1) for part in sums)
    return grad_sums, rstd[:, None] * (product_sums - mean[:, None] * grad_sums)


def add_taps(shifted: list[torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
    """Sum of each tap's frames times its weight."""
    total = shifted[0] * weight[:, 0, 0]
    for tap in range(1, len(shifted)):
        total = total + shifted[tap] * weight[:, 0, tap]
    return total
