"""Layers that compute what Asteroid's compute, from the same parameters, faster.

The parameters stay the very objects of the model they came from, under the same names, so
training the fast form trains Asteroid's model, and checkpoints travel both ways.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class FusedGlobalNorm(nn.Module):
    """Asteroid's ``GlobLN`` (gLN, Luo and Mesgarani 2019, eq. 9) as one group of GroupNorm."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.gamma: nn.Parameter = original.gamma  # type: ignore[assignment]
        self.beta: nn.Parameter = original.beta  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` to the same shape."""
        return functional.group_norm(x, 1, self.gamma, self.beta, 1e-8)


class ShiftedDepthwiseConv(nn.Module):
    """A depthwise ``Conv1d`` as a sum of shifted products.

    A compiler fuses it with its neighbours, where a library call would read and write memory.
    """

    def __init__(self, original: nn.Conv1d) -> None:
        super().__init__()
        assert original.bias is not None and not isinstance(original.padding, str)
        self.weight, self.bias = original.weight, original.bias
        self.dilation, self.padding = original.dilation[0], original.padding[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` to ``(batch, channels, time')``."""
        x = functional.pad(x, (self.padding, self.padding))
        taps = self.weight.shape[-1]
        n_out = x.shape[-1] - (taps - 1) * self.dilation
        total = self.bias[:, None]
        for tap in range(taps):
            start = tap * self.dilation
            total = total + x[..., start : start + n_out] * self.weight[:, 0, tap, None]
        return total


class JoinedOutputs(nn.Module):
    """A ``Conv1DBlock`` whose residual and skip convolutions are one: their input is read once."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.shared_block = original.shared_block
        self.outputs = nn.ModuleList([original.res_conv, original.skip_conv])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(batch, bn_chan, time)`` to residual and skip connection."""
        parts: list[Any] = list(self.outputs)
        weight = torch.cat([part.weight for part in parts])
        bias = torch.cat([part.bias for part in parts])
        both = functional.conv1d(self.shared_block(x), weight, bias)
        sizes = [len(part.weight) for part in parts]
        residual, skip = both.split(sizes, 1)
        return residual, skip


def make_fast(model: nn.Module, fuse_depthwise: bool) -> nn.Module:
    """A copy of an Asteroid model whose modules are faster and whose parameters are shared.

    Args:
        model: any Asteroid model.
        fuse_depthwise: also rewrite depthwise convolutions and join the outputs of blocks; pays
            only under ``torch.compile``.
    """
    shared = {id(parameter): parameter for parameter in model.parameters()}
    fast = copy.deepcopy(model, memo=shared)
    _replace_layers(fast, fuse_depthwise)
    if fuse_depthwise:
        _join_outputs(fast)
    return fast


def _join_outputs(model: nn.Module) -> None:
    """In all but the last block, whose residual goes nowhere and is never computed."""
    blocks = getattr(getattr(model, "masker", None), "TCN", None)
    if not isinstance(blocks, nn.ModuleList):
        return
    for place, block in enumerate(blocks[:-1]):
        if type(block).__name__ == "Conv1DBlock" and hasattr(block, "skip_conv"):
            blocks[place] = JoinedOutputs(block)


def _replace_layers(module: nn.Module, fuse_depthwise: bool) -> None:
    for name, child in module.named_children():
        if type(child).__name__ == "GlobLN":
            setattr(module, name, FusedGlobalNorm(child))
        elif fuse_depthwise and isinstance(child, nn.Conv1d) and _is_depthwise(child):
            setattr(module, name, ShiftedDepthwiseConv(child))
        else:
            _replace_layers(child, fuse_depthwise)


def _is_depthwise(layer: nn.Conv1d) -> bool:
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.stride == (1,)
        and layer.bias is not None
        and not isinstance(layer.padding, str)
    )
