"""Conv-TasNet's masker on a round number of frames: products of matrices are faster so.

3 s at a stride of 20 give 1,199 frames; on 1,200 the products of a step take a seventh less time
(MKL, AVX2). The frames added are kept out of all sums and are zero wherever a neighbour looks at
them, so outputs and gradients are those of the frames that there are.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from separation.models.fast.block_middle import widen
from separation.models.fast.gradients import NormOfPReLU

MULTIPLE = 8  # floats in a vector register of AVX2


class KeptNorm(nn.Module):
    """A ``GlobLN``, after a PReLU or alone, over the frames to keep; the others become zero."""

    def __init__(self, norm: Any, prelu: nn.PReLU | None = None) -> None:
        super().__init__()
        self.gamma, self.beta = norm.gamma, norm.beta
        self.slope = None if prelu is None else prelu.weight

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
        """``(batch, channels, frames)``, with ``keep`` of ones and zeros, to the same shape."""
        slope = x.new_ones(1) if self.slope is None else self.slope
        return NormOfPReLU.apply(x, slope, self.gamma, self.beta, keep)[0]


class DirectMasker(nn.Module):
    """Asteroid's ``TDConvNet``, whose sum of skip connections starts with the first.

    Asteroid's starts with a zero that it copies from the host, for which a GPU is waited for.
    """

    def __init__(self, masker: Any) -> None:
        super().__init__()
        self.n_src, self.out_chan = masker.n_src, masker.out_chan
        self.has_skips = bool(masker.skip_chan)
        self.bottleneck, self.TCN = masker.bottleneck, masker.TCN
        self.mask_net, self.output_act = masker.mask_net, masker.output_act

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``(batch, n_filters, frames)`` to masks ``(batch, n_src, n_filters, frames)``."""
        output, skips = self.bottleneck(frames), None
        for block in self.TCN:
            residual, skip = block(output) if self.has_skips else (block(output), None)
            output = output + residual
            if skip is not None:
                skips = widen(skip) if skips is None else skips + skip
        score = self.mask_net(output if skips is None else skips)
        return self.output_act(score.view(-1, self.n_src, self.out_chan, frames.shape[-1]))


class PaddedMasker(nn.Module):
    """Asteroid's ``TDConvNet`` (gLN, not causal), its layers already those that multiply matrices.

    Args:
        masker: a ``TDConvNet`` whose convolutions are replaced and whose norms are not.
    """

    def __init__(self, masker: Any) -> None:
        super().__init__()
        self.n_src, self.out_chan = masker.n_src, masker.out_chan
        self.norm, self.bottleneck = KeptNorm(masker.bottleneck[0]), masker.bottleneck[1]
        self.blocks = nn.ModuleList(_PaddedBlock(block) for block in masker.TCN)
        self.mask_net, self.output_act = masker.mask_net, masker.output_act

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``(batch, n_filters, frames)`` to masks ``(batch, n_src, n_filters, frames)``."""
        n_frames = frames.shape[-1]
        surplus = -n_frames % MULTIPLE
        keep = functional.pad(frames.new_ones(n_frames), (0, surplus)) if surplus else None
        output = self.bottleneck(self.norm(functional.pad(frames, (0, surplus)), keep))
        skips = torch.zeros(1, device=frames.device)
        for block in self.blocks:
            residual, skip = block(output, keep)
            output = output + residual
            if skip is not None:
                skips = skips + skip
        score = self.mask_net(output if skip is None else skips)[..., :n_frames]
        return self.output_act(score.reshape(-1, self.n_src, self.out_chan, n_frames))


class _PaddedBlock(nn.Module):
    """A ``Conv1DBlock``."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        first, prelu, norm, depthwise, second_prelu, second_norm = block.shared_block
        self.first, self.norm = first, KeptNorm(norm, prelu)
        self.depthwise, self.second_norm = depthwise, KeptNorm(second_norm, second_prelu)
        self.residual, self.skip = block.res_conv, getattr(block, "skip_conv", None)

    def forward(
        self, x: torch.Tensor, keep: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(batch, bn_chan, frames)`` to residual and skip connection."""
        x = self.norm(self.first(x), keep)
        x = self.second_norm(self.depthwise(x), keep)
        return self.residual(x), None if self.skip is None else self.skip(x)


def is_asteroids(layer: Any, name: str) -> bool:
    """Whether a layer is of Asteroid's class of that name, not of another one called so."""
    kind = type(layer)
    return kind.__name__ == name and kind.__module__.split(".")[0].startswith("asteroid")


def can_pad(masker: Any) -> bool:
    """Whether a masker is one that :class:`PaddedMasker` knows."""
    if not is_asteroids(masker, "TDConvNet"):
        return False
    return is_asteroids(masker.bottleneck[0], "GlobLN") and not masker.causal


class FrameEncoder(nn.Module):
    """An ``Encoder`` without padding, as a product of its filters and the signal's frames."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.filterbank = encoder.filterbank

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """``(batch, 1, time)`` to ``(batch, n_filters, frames)``."""
        bank = self.filterbank
        frames = waveform[:, 0].unfold(-1, bank.kernel_size, bank.stride)
        filters = bank.filters()[:, 0].expand(len(waveform), -1, -1)
        return torch.bmm(filters, frames.transpose(1, 2).contiguous())


class FrameDecoder(nn.Module):
    """A ``Decoder`` without padding: a product of matrices, then frames laid over each other."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.filterbank = decoder.filterbank

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """``(batch, n_src, n_filters, frames)`` to ``(batch, n_src, time)``."""
        bank = self.filterbank
        flat = frames.flatten(0, 1)
        filters = bank.filters()[:, 0].t().expand(len(flat), -1, -1)
        pieces = torch.bmm(filters, flat)  # (batch n_src, kernel_size, frames)
        n_over = -(-bank.kernel_size // bank.stride)
        pieces = functional.pad(pieces, (0, 0, 0, n_over * bank.stride - bank.kernel_size))
        laid = [
            functional.pad(piece, (place, n_over - 1 - place))
            for place, piece in enumerate(pieces.split(bank.stride, 1))
        ]
        signal = torch.stack(laid).sum(0).transpose(1, 2).flatten(1)
        n_samples = (frames.shape[-1] - 1) * bank.stride + bank.kernel_size
        return signal[:, :n_samples].unflatten(0, frames.shape[:2])


def multiply_frames(model: Any) -> None:
    """Replace encoder and decoder where they are plain ones with free filters."""
    for name, kind in (("encoder", FrameEncoder), ("decoder", FrameDecoder)):
        part: Any = getattr(model, name, None)
        if not is_asteroids(part, name.capitalize()):
            continue
        if not is_asteroids(part.filterbank, "FreeFB"):
            continue
        if not (part.is_pinv or part.padding or getattr(part, "output_padding", 0)):
            setattr(model, name, kind(part))
