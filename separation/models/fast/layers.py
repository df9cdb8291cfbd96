"""Layers that compute what Asteroid's compute, from the same parameters, faster.

The parameters stay the very objects of the model they came from, so training the fast form
trains Asteroid's model, which is what is saved: checkpoints travel both ways.
"""

import copy
import dataclasses
import logging
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from separation.models.fast.block_middle import widen
from separation.models.fast.eager import write_eager_gradients
from separation.models.fast.gradients import (
    EPS,
    NormOfPReLU,
    PointwiseProduct,
    ShiftedProducts,
    add_shifted,
)
from separation.models.fast.masker import (
    DirectMasker,
    PaddedMasker,
    can_pad,
    is_asteroids,
    multiply_frames,
)
from separation.models.fast.time_major import TimeMajorConvTasNet, find_obstacle

logger = logging.getLogger(__name__)


class FusedGlobalNorm(nn.Module):
    """Asteroid's ``GlobLN`` (gLN, Luo and Mesgarani 2019, eq. 9) as one group of GroupNorm.

    Not where it would be that operation's own kernel on CUDA: it gives a group to one thread block,
    so that a single mixture keeps one of a GPU's many multiprocessors busy.
    """

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.gamma: nn.Parameter = original.gamma  # type: ignore[assignment]
        self.beta: nn.Parameter = original.beta  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` to the same shape."""
        if x.device.type == "cuda" and not torch.compiler.is_compiling():
            return self._normalize_by_statistics(x)
        return functional.group_norm(x, 1, self.gamma, self.beta, EPS)

    def _normalize_by_statistics(self, x: torch.Tensor) -> torch.Tensor:
        """Statistics by a kernel that shares an item among thread blocks, in float32 or wider."""
        wide = widen(x)
        variance, mean = torch.var_mean(wide, (1, 2), correction=0, keepdim=True)
        scale = self.gamma[:, None] * torch.rsqrt(variance + EPS)
        return torch.addcmul(self.beta[:, None] - mean * scale, wide, scale)


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
        padded = functional.pad(x, (self.padding, self.padding))
        return add_shifted(padded, self.weight, self.bias, self.dilation)


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


class PointwiseConv(nn.Module):
    """A ``Conv1d`` of kernel 1, see :class:`separation.models.fast.gradients.PointwiseProduct`."""

    def __init__(self, original: nn.Conv1d) -> None:
        super().__init__()
        self.weight, self.bias = original.weight, original.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` to ``(batch, channels', time)``."""
        return PointwiseProduct.apply(x, self.weight, self.bias)


class DepthwiseConv(ShiftedDepthwiseConv):
    """The same with its gradient, see :class:`separation.models.fast.gradients.ShiftedProducts`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` to ``(batch, channels, time')``."""
        return ShiftedProducts.apply(x, self.weight, self.bias, self.padding, self.dilation)


class PReLUNorm(nn.Module):
    """A PReLU and the ``GlobLN`` after it, see :class:`fast_gradients.NormOfPReLU`."""

    def __init__(self, prelu: nn.PReLU, norm: Any) -> None:
        super().__init__()
        self.slope, self.gamma, self.beta = prelu.weight, norm.gamma, norm.beta

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, channels, time)`` to the same shape."""
        return NormOfPReLU.apply(x, self.slope, self.gamma, self.beta, None)[0]


@dataclass(frozen=True)
class FastForm:
    """What of a model is replaced; each part can be left out.

    Attributes:
        norms: Asteroid's global norms by one operation each.
        depthwise: depthwise convolutions by shifted products, and the two outputs of a block by
            one convolution; pays only under ``torch.compile``.
        gradients: layers whose gradients are written out, and products of matrices in place of
            convolutions of kernel 1. As ``bct`` in one precision, so not under autocast; under
            ``torch.compile``, and measured to pay on CPUs.
        layout: of the activations, ``(batch, channels, time)`` as Asteroid's or ``(batch, time,
            channels)``, which replaces the whole network, see
            :mod:`separation.models.fast.time_major`; where that cannot be had, ``bct``.
        eager: gradients written out for a CPU without a compiler, see
            :mod:`separation.models.fast.eager`.
        kernels: as ``btc`` with gradients, the middle of blocks by Triton's kernels on CUDA, see
            :mod:`separation.models.fast.block_operations`.
    """

    norms: bool = True
    depthwise: bool = False
    gradients: bool = False
    eager: bool = False
    layout: Literal["bct", "btc"] = "bct"
    kernels: bool = False


PLAIN = FastForm()  # what pays without a compiler


def make_fast(model: nn.Module, form: FastForm = PLAIN) -> nn.Module:
    """A copy of an Asteroid model whose modules are faster and whose parameters are shared.

    Args:
        model: any network ``(batch, time) -> (batch, n_src, time)``; of others than Asteroid's only
            layers that are equal to one of its are replaced.
        form: what is replaced.
    """
    if form.layout == "btc":
        obstacle = find_obstacle(model)
        if not obstacle:
            return TimeMajorConvTasNet(model, written=form.gradients, kernels=form.kernels)
        logger.info("no layout btc: %s", obstacle)
        form = dataclasses.replace(form, layout="bct")
    # buffers too: the running means of a batch norm are the model's, whichever form trains
    shared: dict[int, Any] = {id(part): part for part in (*model.parameters(), *model.buffers())}
    fast: Any = copy.deepcopy(model, memo=shared)
    if form.gradients:
        masker = getattr(fast, "masker", None)
        _write_gradients(fast, form.depthwise)
        if form.norms and form.depthwise and can_pad(masker):
            fast.masker = PaddedMasker(masker)
        if form.norms:
            _join_norms(fast)
        multiply_frames(fast)
    _replace_layers(fast, form)
    if form.eager:
        write_eager_gradients(fast)
    if form.depthwise and not form.gradients:
        _join_outputs(fast)
    masker = getattr(fast, "masker", None)
    if is_asteroids(masker, "TDConvNet"):
        fast.masker = DirectMasker(masker)
    return fast


def _write_gradients(module: nn.Module, depthwise: bool) -> None:
    """Replace the layers that :mod:`separation.models.fast.gradients` knows."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv1d) and _is_pointwise(child):
            setattr(module, name, PointwiseConv(child))
        elif depthwise and isinstance(child, nn.Conv1d) and _is_depthwise(child):
            setattr(module, name, DepthwiseConv(child))
        else:
            _write_gradients(child, depthwise)


def _join_norms(model: nn.Module) -> None:
    """Make each PReLU and the norm after it one layer."""
    for layers in [part for part in model.modules() if isinstance(part, nn.Sequential)]:
        _join_prelu_and_norm(layers)


def _join_prelu_and_norm(layers: nn.Sequential) -> None:
    for place in range(len(layers) - 1):
        prelu, norm = layers[place], layers[place + 1]
        if not isinstance(prelu, nn.PReLU) or prelu.num_parameters > 1:
            continue
        if is_asteroids(norm, "GlobLN"):
            layers[place], layers[place + 1] = PReLUNorm(prelu, norm), nn.Identity()


def _is_pointwise(layer: nn.Conv1d) -> bool:
    return (
        layer.kernel_size == layer.stride == (1,)
        and layer.groups == 1
        and layer.padding == (0,)
        and layer.padding_mode == "zeros"
        and layer.bias is not None
    )


def _join_outputs(model: nn.Module) -> None:
    """In all but the last block, whose residual goes nowhere and is never computed."""
    blocks = getattr(getattr(model, "masker", None), "TCN", None)
    if not isinstance(blocks, nn.ModuleList):
        return
    for place, block in enumerate(blocks[:-1]):
        if is_asteroids(block, "Conv1DBlock") and hasattr(block, "skip_conv"):
            blocks[place] = JoinedOutputs(block)


def _replace_layers(module: nn.Module, form: FastForm) -> None:
    for name, child in module.named_children():
        if form.norms and is_asteroids(child, "GlobLN"):
            setattr(module, name, FusedGlobalNorm(child))
        elif form.depthwise and isinstance(child, nn.Conv1d) and _is_depthwise(child):
            setattr(module, name, ShiftedDepthwiseConv(child))
        else:
            _replace_layers(child, form)


def _is_depthwise(layer: nn.Conv1d) -> bool:
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.stride == (1,)
        and layer.padding_mode == "zeros"
        and layer.bias is not None
        and not isinstance(layer.padding, str)
    )
