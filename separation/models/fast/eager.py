"""Layers whose gradients are written out for a CPU without a compiler, for short trainings.

PyTorch's gradients of a PReLU's slope and of a depthwise convolution take a third of a step of
Conv-TasNet there. Both are the same sums in another order, by operations that vectorise and work in
place. There are no second derivatives.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class LeakyProduct(torch.autograd.Function):
    """A PReLU of one slope."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """Any shape, to the same."""
        ctx.save_for_backward(x)
        ctx.slope = float(slope)
        return functional.leaky_relu(x, ctx.slope)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple:
        (grad,), (x,) = grads, ctx.saved_tensors
        grad_x = torch.ops.aten.leaky_relu_backward(grad, x, ctx.slope, False)
        return grad_x, torch.dot(grad.flatten(), x.clamp(max=0).flatten()).view(1)


class LeakyPReLU(nn.Module):
    """A ``PReLU`` of one slope, see :class:`LeakyProduct`."""

    def __init__(self, original: nn.PReLU) -> None:
        super().__init__()
        self.weight = original.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape, to the same."""
        return LeakyProduct.apply(x, self.weight)


class TapByTap(torch.autograd.Function):
    """A depthwise ``Conv1d`` that keeps the length; arguments ``padding, dilation`` last."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        padding: int,
        dilation: int,
    ) -> torch.Tensor:
        """``(batch, channels, time)`` to the same shape; weight as ``Conv1d``'s."""
        ctx.save_for_backward(x, weight)
        ctx.place = padding, dilation
        return add_taps(x, weight[:, 0], bias, padding, dilation)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        padding, dilation = ctx.place
        taps, n_frames = weight.shape[-1], x.shape[-1]
        grad_taps = []
        for tap in range(taps):
            near, far, offset = place_tap(tap, n_frames, padding, dilation)
            heard = x[..., near + offset : far + offset]
            grad_taps.append((grad[..., near:far] * heard).sum(-1).sum(0))
        grad_x = add_taps(grad, weight[:, 0].flip(-1), None, padding, dilation)
        return grad_x, torch.stack(grad_taps, -1)[:, None], grad.sum(-1).sum(0), None, None


def place_tap(tap: int, n_frames: int, padding: int, dilation: int) -> tuple[int, int, int]:
    """Where the frames begin and end that a tap has something to add to, and how far it looks."""
    offset = tap * dilation - padding
    near = min(n_frames, max(0, -offset))
    return near, max(near, n_frames - max(0, offset)), offset


def add_taps(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: int, dilation: int
) -> torch.Tensor:
    """A depthwise convolution that keeps the length.

    Args:
        x: ``(batch, channels, time)``, zero outside.
        weight: ``(channels, taps)``, an odd number of taps.
        bias: ``(channels,)``; None: none.
        padding: of either end, half of what the taps span.
        dilation: frames between two taps.

    Returns:
        ``(batch, channels, time)``.
    """
    taps = weight.shape[-1]
    centre = weight[:, taps // 2, None]
    total = x * centre if bias is None else torch.addcmul(bias[:, None], x, centre)
    for tap in set(range(taps)) - {taps // 2}:
        near, far, offset = place_tap(tap, x.shape[-1], padding, dilation)
        total[..., near:far].addcmul_(x[..., near + offset : far + offset], weight[:, tap, None])
    return total


class TappedConv(nn.Module):
    """A depthwise ``Conv1d`` that keeps the length, see :class:`TapByTap`."""

    def __init__(self, original: nn.Conv1d) -> None:
        super().__init__()
        self.weight, self.bias = original.weight, original.bias
        self.place = int(original.padding[0]), original.dilation[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` to the same shape."""
        return TapByTap.apply(x, self.weight, self.bias, *self.place)


def write_eager_gradients(module: nn.Module) -> None:
    """Replace a model's PReLUs of one slope and its depthwise convolutions that keep the length."""
    for name, child in module.named_children():
        if isinstance(child, nn.PReLU) and child.num_parameters == 1:
            setattr(module, name, LeakyPReLU(child))
        elif isinstance(child, nn.Conv1d) and keeps_length(child):
            setattr(module, name, TappedConv(child))
        else:
            write_eager_gradients(child)


def keeps_length(layer: nn.Conv1d) -> bool:
    """Whether :class:`TappedConv` can stand in for a layer."""
    if layer.groups != layer.in_channels or layer.groups != layer.out_channels:
        return False
    if layer.groups == 1 or layer.bias is None or isinstance(layer.padding, str):
        return False
    (taps,), (dilation,), (padding,) = layer.kernel_size, layer.dilation, layer.padding
    is_plain = layer.stride == (1,) and layer.padding_mode == "zeros"
    return is_plain and taps % 2 == 1 and 2 * padding == (taps - 1) * dilation
