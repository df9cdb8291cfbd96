"""Conv-TasNet without gradients: faster, and mixtures of unlike lengths at once.

Activations are ``(batch, frames, channels)`` and are changed in place; every norm is folded into
the product or the convolution that reads it. Of a shorter mixture the frames beyond its end enter
no norm's sums and are zero wherever a neighbour looks at them, as Asteroid's padding is, so that
its estimates are those that it has alone, but for rounding.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from separation.models.fast.time_major import lay_over

EPS = 1e-8  # of Asteroid's GlobLN


@dataclass(frozen=True)
class FrameCounts:
    """How many frames the items of a batch have.

    Attributes:
        counts: ``(batch,)``, as numbers of the activations' type.
        keep: ``(batch, frames, 1)`` of ones and zeros; None where all items have all frames.
    """

    counts: torch.Tensor
    keep: torch.Tensor | None

    def clear(self, x: torch.Tensor) -> torch.Tensor:
        """Make what lies beyond an item's end zero, in place."""
        return x if self.keep is None else x.mul_(self.keep)


class InferenceConvTasNet:
    """Asteroid's ``ConvTasNet`` with gLN, not causal, its weights read anew in every call.

    Args:
        model: one that :func:`separation.models.fast.time_major.find_obstacle` finds no fault with.
        bf16: multiply bfloat16 numbers in the blocks; sums, norms and all else stay float32.
    """

    def __init__(self, model: Any, *, bf16: bool = False) -> None:
        self.model = model
        self.dtype = torch.bfloat16 if bf16 else torch.float32

    def __call__(self, waveforms: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """``(batch, time)`` to ``(batch, n_src, time)``; to be called under ``no_grad``.

        Args:
            waveforms: zero beyond each one's length.
            lengths: in samples, at least the encoder's kernel; one of them is all the time.
        """
        bank, masker = self.model.encoder.filterbank, self.model.masker
        frames = waveforms.unfold(-1, bank.kernel_size, bank.stride)
        encoded = self.model.enc_activation(functional.linear(frames, bank.filters()[:, 0]))
        n_frames = [(length - bank.kernel_size) // bank.stride + 1 for length in lengths]
        counts = count_frames(n_frames, encoded)
        counts.clear(encoded)
        masks = self._estimate_masks(encoded, counts)
        masks = masker.output_act(masks.flatten(0, 1)).view_as(masks)  # sources are axis 1 to it
        masked = masks.mul_(encoded[:, :, None])
        decoder = self.model.decoder.filterbank
        pieces = functional.linear(masked, decoder.filters()[:, 0].t())
        signal = lay_over(pieces.transpose(1, 2), decoder.stride)
        return functional.pad(signal, (0, waveforms.shape[-1] - signal.shape[-1]))

    def count_bytes(self, n_samples: int) -> int:
        """Of memory, about, that one mixture takes at most at a time."""
        bank, masker = self.model.encoder.filterbank, self.model.masker
        encoded = bank.n_feats_out * (1 + 2 * masker.n_src)  # and masks, and what they are made of
        blocks = masker.bn_chan + (masker.skip_chan or 0) + 3 * masker.hid_chan
        n_values = encoded + blocks + masker.n_src * bank.kernel_size
        return 4 * n_values * (n_samples // bank.stride + 1)

    def _estimate_masks(self, encoded: torch.Tensor, counts: FrameCounts) -> torch.Tensor:
        """``(batch, frames, n_filters)`` to the masks' scores, ``(..., n_src, n_filters)``."""
        masker = self.model.masker
        norm, conv = masker.bottleneck
        output = encoded.new_zeros(*encoded.shape[:2], masker.bn_chan)
        add_normed(encoded, norm, [conv], [output], counts, self.dtype)
        skips = output.new_zeros(*output.shape[:2], masker.skip_chan or 0)
        for block in masker.TCN:
            hidden = run_block(block, output, counts, self.dtype)
            convs, sums = [block.res_conv], [output]
            if masker.skip_chan:
                convs, sums = [block.skip_conv, block.res_conv], [skips, output]
            if masker.skip_chan and block is masker.TCN[-1]:  # nobody reads its residual
                convs, sums = convs[:1], sums[:1]
            add_normed(hidden, block.shared_block[5], convs, sums, counts, self.dtype)
        prelu, conv = masker.mask_net
        features = activate(skips if masker.skip_chan else output, prelu)
        score = functional.linear(features, conv.weight[:, :, 0], conv.bias)
        return score.unflatten(-1, (masker.n_src, masker.out_chan))


def count_frames(n_frames: list[int], encoded: torch.Tensor) -> FrameCounts:
    """What belongs to the items of a batch ``(batch, frames, n_filters)``."""
    counts = torch.tensor(n_frames, dtype=encoded.dtype)
    keep = None
    if min(n_frames) < encoded.shape[1]:
        keep = (torch.arange(encoded.shape[1]) < counts[:, None]).to(encoded)[:, :, None]
    return FrameCounts(counts.to(encoded.device), keep)


def run_block(block: Any, x: torch.Tensor, counts: FrameCounts, dtype: torch.dtype) -> torch.Tensor:
    """A ``Conv1DBlock`` up to its last norm, which is left to the product that follows.

    Args:
        block: of Asteroid's.
        x: ``(batch, frames, bn_chan)``, left as it is.
        counts: of frames.
        dtype: of the product's factors.

    Returns:
        activations ``(batch, frames, hid_chan)``.
    """
    first, prelu, norm, depthwise, last_prelu, _ = block.shared_block
    weight = first.weight[:, :, 0].to(dtype)
    hidden = functional.linear(x.to(dtype), weight, first.bias.to(dtype)).float()
    hidden = counts.clear(activate(hidden, prelu))
    scale, mean = measure_norm(hidden, norm, counts)
    shift = torch.addcmul(norm.beta, mean, scale, value=-1)
    return counts.clear(activate(convolve(hidden, scale, shift, depthwise, counts), last_prelu))


def activate(x: torch.Tensor, prelu: nn.PReLU) -> torch.Tensor:
    """A PReLU of one slope; in place on a CPU, where reading the slope waits for nothing."""
    if x.device.type == "cpu":
        return functional.leaky_relu_(x, float(prelu.weight))
    return functional.prelu(x, prelu.weight)


def measure_norm(
    x: torch.Tensor, norm: Any, counts: FrameCounts
) -> tuple[torch.Tensor, torch.Tensor]:
    """A ``GlobLN``'s factors ``(batch, channels)`` for each item, and the means ``(batch, 1)``.

    The squares are summed a frame at a time, which keeps float32's rounding small.
    """
    n_values = counts.counts * x.shape[2]
    mean = x.sum((1, 2)) / n_values
    squares = torch.linalg.vector_norm(x, dim=2).square().sum(1) / n_values
    variance = torch.addcmul(squares, mean, mean, value=-1).clamp_(min=0)
    return norm.gamma * torch.rsqrt(variance + EPS)[:, None], mean[:, None]


def add_normed(
    x: torch.Tensor,
    norm: Any,
    convs: list[Any],
    sums: list[torch.Tensor],
    counts: FrameCounts,
    dtype: torch.dtype,
) -> None:
    """Add convolutions of kernel 1 of a ``GlobLN`` of ``x``, each to its sum, in place.

    With a norm's factors s and mean m, W (s (x - m) + beta) + b = (W s) x + W beta + b - m (W s) 1.

    Args:
        x: ``(batch, frames, channels)``.
        norm: Asteroid's.
        convs: of the norm's output.
        sums: ``(batch, frames, out)``, one a convolution.
        counts: of frames.
        dtype: of the products' factors.
    """
    scale, mean = measure_norm(x, norm, counts)
    factor = x.to(dtype)
    for conv, total in zip(convs, sums, strict=True):
        weight = conv.weight[:, :, 0]
        weights = (weight * scale[:, None]).transpose(1, 2).to(dtype)
        # of the rounded weights, so that the mean cancels
        addend = functional.linear(norm.beta, weight, conv.bias) - mean * weights.sum(
            1, dtype=x.dtype
        )
        if dtype == x.dtype:
            total.baddbmm_(factor, weights).add_(addend[:, None])
        else:
            total.add_(torch.bmm(factor, weights)).add_(addend[:, None])


def convolve(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, conv: Any, counts: FrameCounts
) -> torch.Tensor:
    """A depthwise ``Conv1d`` of ``x * scale + shift``, which is zero outside each item.

    Args:
        x: ``(batch, frames, channels)``, zero beyond an item's end.
        scale: ``(batch, channels)``.
        shift: likewise.
        conv: Asteroid's.
        counts: of frames.
    """
    if counts.keep is not None:  # ends differ, so the norm is computed and its shift cut off there
        x = counts.clear(torch.addcmul(shift[:, None], x, scale[:, None]))
        scale, shift = torch.ones_like(scale), torch.zeros_like(shift)
    n_frames, taps = x.shape[1], conv.weight[:, 0].t().contiguous()
    weights, shifts = taps[:, None] * scale, taps[:, None] * shift  # (taps, batch, channels)
    centre = len(taps) // 2
    addend = conv.bias + shifts.sum(0)
    total = torch.addcmul(addend[:, None], x, weights[centre][:, None])
    for tap in set(range(len(taps))) - {centre}:
        offset = tap * conv.dilation[0] - conv.padding[0]
        near = min(n_frames, max(0, -offset))
        far = max(near, n_frames - max(0, offset))
        part = x[:, near + offset : far + offset]
        total[:, near:far].addcmul_(part, weights[tap][:, None])
        for outside in (total[:, :near], total[:, far:]):
            outside.sub_(shifts[tap][:, None])
    return total
