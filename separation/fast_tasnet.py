"""Conv-TasNet computed frame by frame: the same numbers from the same parameters, faster.

Asteroid keeps signals as ``(batch, channels, time)``. Here they are ``(batch, time, channels)``:
a 1x1 convolution is one product of matrices, the residual and the skip convolution of a block
are one, a shifted read for the depthwise convolution stays contiguous, and global normalisation
costs no pass over memory of its own, since a compiler fuses what is left between the products.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

EPS = 1e-8  # of Asteroid's norms


class FastConvTasNet(nn.Module):
    """Asteroid's ``ConvTasNet`` with a learned filterbank.

    Args:
        model: whose parameters are shared; see :func:`can_be_fast`.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        masker = model.masker
        self.n_src, self.out_chan = masker.n_src, masker.out_chan
        self.stride = model.encoder.filterbank.stride
        self.norm = _norm_frames if masker.norm_type == "cLN" else _norm_all

    def forward(self, mixtures: torch.Tensor) -> torch.Tensor:
        """``(batch, time)`` to ``(batch, n_src, time)``."""
        model = self.model
        encoded = self._encode(mixtures)
        masks = self._mask(encoded)
        masked = masks * encoded.unsqueeze(2)
        decoded = self._decode(masked.transpose(1, 2))
        missing = mixtures.shape[-1] - decoded.shape[-1]
        return functional.pad(decoded, (0, missing)).view(len(mixtures), model.masker.n_src, -1)

    def _encode(self, mixtures: torch.Tensor) -> torch.Tensor:
        """``(batch, time)`` to ``(batch, frames, filters)``."""
        filters = self.model.encoder.filterbank._filters[:, 0]
        frames = mixtures.unfold(-1, filters.shape[-1], self.stride)
        return self.model.enc_activation(functional.linear(frames, filters))

    def _mask(self, encoded: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, filters)`` to ``(batch, frames, n_src, filters)``."""
        masker = self.model.masker
        norm, conv = masker.bottleneck
        signal = functional.linear(self.norm(encoded, norm), conv.weight[..., 0], conv.bias)
        skipped = None
        for block in masker.TCN:
            signal, skip = self._run_block(block, signal)
            skipped = skip if skipped is None else skipped + skip
        prelu, conv = masker.mask_net
        hidden = functional.prelu(skipped, prelu.weight)
        scores = functional.linear(hidden, conv.weight[..., 0], conv.bias)
        return masker.output_act(scores.view(*scores.shape[:2], self.n_src, self.out_chan))

    def _run_block(self, block: Any, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(batch, frames, bn_chan)`` to the next signal and this block's skip connection."""
        conv, prelu_1, norm_1, depthwise, prelu_2, norm_2 = block.shared_block
        hidden = functional.linear(signal, conv.weight[..., 0], conv.bias)
        hidden = self.norm(functional.prelu(hidden, prelu_1.weight), norm_1)
        hidden = functional.prelu(_convolve(hidden, depthwise), prelu_2.weight)
        hidden = self.norm(hidden, norm_2)
        weight = torch.cat([block.res_conv.weight, block.skip_conv.weight])[..., 0]
        bias = torch.cat([block.res_conv.bias, block.skip_conv.bias])
        both = functional.linear(hidden, weight, bias)
        residual, skip = both.split([len(block.res_conv.weight), len(block.skip_conv.weight)], -1)
        return signal + residual, skip

    def _decode(self, masked: torch.Tensor) -> torch.Tensor:
        """``(batch, n_src, frames, filters)`` to ``(batch * n_src, time)``: overlap and add."""
        filters = self.model.decoder.filterbank._filters[:, 0]
        frames = functional.linear(masked.flatten(0, 1), filters.t())
        n_parts = filters.shape[-1] // self.stride
        total = torch.zeros((), dtype=frames.dtype, device=frames.device)
        for place, part in enumerate(frames.split(self.stride, -1)):
            total = total + functional.pad(part, (0, 0, place, n_parts - 1 - place))
        return total.flatten(1)


def _norm_all(x: torch.Tensor, norm: Any) -> torch.Tensor:
    """gLN (Luo and Mesgarani 2019, eq. 9) over frames and channels, statistics in float32."""
    wide = x.float()
    mean = wide.mean((1, 2), keepdim=True)
    variance = (wide * wide).mean((1, 2), keepdim=True) - mean * mean
    scale = torch.rsqrt(variance.clamp_min(0) + EPS)
    return ((wide - mean) * scale * norm.gamma + norm.beta).to(x.dtype)


def _norm_frames(x: torch.Tensor, norm: Any) -> torch.Tensor:
    """cLN: over the channels of each frame."""
    return functional.layer_norm(x, x.shape[-1:], norm.gamma, norm.beta, EPS)


def _convolve(x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
    """A depthwise convolution over frames as a sum of shifted products."""
    causal = isinstance(layer, nn.Sequential)
    conv: Any = layer[0] if isinstance(layer, nn.Sequential) else layer
    padding, dilation = conv.padding[0], conv.dilation[0]
    padded = functional.pad(x, (0, 0, padding, 0 if causal else padding))
    total = conv.bias
    for tap in range(conv.kernel_size[0]):
        start = tap * dilation
        total = total + padded[:, start : start + x.shape[1]] * conv.weight[:, 0, tap]
    return total


def can_be_fast(model: nn.Module) -> bool:
    """Whether a model is a ConvTasNet that :class:`FastConvTasNet` computes."""
    if type(model).__name__ != "ConvTasNet":
        return False
    parts: Any = model
    masker, bank = parts.masker, parts.encoder.filterbank
    return (
        type(masker).__name__ == "TDConvNet"
        and masker.norm_type in ("gLN", "cLN")
        and bool(masker.skip_chan)
        and type(bank).__name__ == "FreeFB"
        and bank.kernel_size % bank.stride == 0
        and type(masker.output_act).__name__ in ("ReLU", "Sigmoid", "Identity")
    )
