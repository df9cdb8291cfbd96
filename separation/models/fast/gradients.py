"""Operations of Conv-TasNet's blocks with gradients written out, for a compiler to fuse.

Left to autograd, the norm's and the depthwise convolution's backward read and write the
activations many times over, with sums in an order that does not vectorise. Here all sums run
along time, the innermost axis, first, so that each operation takes one pass for the sums and one
for the result. Gradients are those of the same formulas; only the order of rounding differs. There
are no second derivatives.
"""

from typing import Any

import torch
from torch.nn import functional

EPS = 1e-8  # of Asteroid's GlobLN


class PointwiseProduct(torch.autograd.Function):
    """A ``Conv1d`` of kernel 1 as a product of matrices for each item of the batch."""

    @staticmethod
    def forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` with ``(out, channels, 1)`` to ``(batch, out, time)``."""
        return torch.bmm(weight[:, :, 0].expand(len(x), -1, -1), x) + bias[:, None]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        grad_x = torch.bmm(weight[:, :, 0].t().expand(len(x), -1, -1), grad)
        grad_weight = torch.bmm(grad, x.transpose(1, 2)).sum(0)[:, :, None]
        return grad_x, grad_weight, grad.sum(-1).sum(0)


class NormOfPReLU(torch.autograd.Function):
    """PReLU of one slope, then global layer norm (gLN, Luo and Mesgarani 2019, eq. 9).

    Backward recomputes the PReLU, which costs less than keeping it. With p = prelu(x),
    n = (p - mean) rstd and g the gradient times gamma, the gradient of p is
    rstd (g - mean(g) - n mean(g n)), with means over channels and time.
    """

    @staticmethod
    def forward(
        x: torch.Tensor,
        slope: torch.Tensor,
        gamma: torch.Tensor,
        beta: torch.Tensor,
        keep: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``(batch, channels, time)`` to the same shape; mean and 1/std, ``(batch,)``.

        ``keep``: ones and zeros ``(time,)``; None: all ones. What is not kept enters no sum and
        becomes zero.
        """
        n_values = _count_values(x, keep)
        active = _mask(torch.where(x > 0, x, slope * x), keep)
        mean = active.sum(-1).sum(-1) / n_values
        squares = _mask(active - mean[:, None, None], keep).square()
        rstd = torch.rsqrt(squares.sum(-1).sum(-1) / n_values + EPS)
        scale = gamma * rstd[:, None]
        shift = beta - mean[:, None] * scale
        return _mask(active * scale[:, :, None] + shift[:, :, None], keep), mean, rstd

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        x, slope, gamma, _, keep = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, slope, gamma, *output[1:], keep)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple:
        x, slope, gamma, mean, rstd, keep = ctx.saved_tensors
        grad, n_values = _mask(grads[0], keep), _count_values(x, keep)
        active = torch.where(x > 0, x, slope * x)
        grad_sums = grad.sum(-1)
        normed_sums = rstd[:, None] * ((grad * active).sum(-1) - mean[:, None] * grad_sums)
        mean_grad = (gamma * grad_sums).sum(-1) / n_values
        mean_normed = (gamma * normed_sums).sum(-1) / n_values
        # rstd (g - mean_grad - n mean_normed), its terms gathered by grad, active and neither
        by_active = rstd.square() * mean_normed
        neither = rstd * mean_grad - by_active * mean
        grad_active = (
            grad * (gamma * rstd[:, None])[:, :, None]
            - active * by_active[:, None, None]
            - neither[:, None, None]
        )
        grad_active = _mask(grad_active, keep)
        grad_x = torch.where(x > 0, grad_active, slope * grad_active)
        grad_slope = torch.where(x > 0, 0, grad_active * x).sum(-1).sum().view(1)
        return grad_x, grad_slope, normed_sums.sum(0), grad_sums.sum(0), None


def _mask(x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
    return x if keep is None else x * keep


def _count_values(x: torch.Tensor, keep: torch.Tensor | None) -> int | torch.Tensor:
    return x.shape[1] * (x.shape[2] if keep is None else keep.sum())


class ShiftedProducts(torch.autograd.Function):
    """A depthwise ``Conv1d`` as a sum of shifted products; arguments ``padding, dilation`` last."""

    @staticmethod
    def forward(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, padding: int, dilation: int
    ) -> torch.Tensor:
        """``(batch, channels, time)`` to ``(batch, channels, time')``; weight as ``Conv1d``'s."""
        return add_shifted(functional.pad(x, (padding, padding)), weight, bias, dilation)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        x, weight, _, ctx.padding, ctx.dilation = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        padding, dilation, taps = ctx.padding, ctx.dilation, weight.shape[-1]
        padded, n_out = functional.pad(x, (padding, padding)), grad.shape[-1]
        grad_taps = [
            (grad * padded[..., start : start + n_out]).sum(-1).sum(0)
            for start in range(0, taps * dilation, dilation)
        ]
        # the transposed convolution: taps in reverse over the gradient, padded to give x's length
        before = (taps - 1) * dilation - padding
        spread = functional.pad(grad, (before, x.shape[-1] + padding - n_out))
        grad_x = add_shifted(spread, weight.flip(-1), torch.zeros_like(weight[:, 0, 0]), dilation)
        return grad_x, torch.stack(grad_taps, -1)[:, None], grad.sum(-1).sum(0), None, None


def add_shifted(
    padded: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int
) -> torch.Tensor:
    """Depthwise convolution of ``padded``, without further padding.

    Args:
        padded: ``(batch, channels, time + (taps - 1) * dilation)``.
        weight: ``(channels, 1, taps)``.
        bias: ``(channels,)``.
        dilation: samples between two taps.

    Returns:
        ``(batch, channels, time)``.
    """
    taps = weight.shape[-1]
    n_out = padded.shape[-1] - (taps - 1) * dilation
    total = bias[:, None]
    for tap in range(taps):
        start = tap * dilation
        total = total + padded[..., start : start + n_out] * weight[:, 0, tap, None]
    return total
