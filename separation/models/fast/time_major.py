"""Conv-TasNet on ``(batch, time, channels)``, for CUDA: every convolution of kernel 1 is a product.

cuDNN's kernels for ``(batch, channels, time)`` transpose around each call; here channels are the
innermost axis, so products of matrices take activations as they lie, and norms, PReLUs and
depthwise convolutions are formulas that a compiler fuses. The parameters are those of Asteroid's
model. Equal to it but for rounding; tests/models/test_time_major.py says how near.

A norm before a product is not applied: with activations a, mean m and 1/std r of an item,
W (gamma (a - m) r + beta) + b = r (W gamma) a + (W beta + b - m r (W gamma) 1), so the product
needs no pass over the activations that waits for their statistics.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from separation.models.fast.block_middle import (
    Dilated,
    MixedFrames,
    apply_prelu,
    finish_statistics,
    measure_items,
    mix_frames,
    widen,
)
from separation.models.fast.block_operations import MixedByKernels, has_kernels
from separation.models.fast.masker import is_asteroids

ELEMENTWISE = (nn.Identity, nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.PReLU)


class TimeMajorConvTasNet(nn.Module):
    """Asteroid's ``ConvTasNet`` with gLN, not causal, free filters.

    Args:
        model: one that :func:`find_obstacle` finds no fault with; its parameters are shared.
        written: gradients of the blocks' middle are written out as formulas, else autograd's.
        kernels: where written, by Triton's kernels on CUDA.
    """

    def __init__(self, model: Any, *, written: bool = False, kernels: bool = False) -> None:
        super().__init__()
        self.encoder, self.decoder = model.encoder.filterbank, model.decoder.filterbank
        self.enc_activation = model.enc_activation
        self.masker = TimeMajorMasker(model.masker, written=written, kernels=kernels)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """``(time,)``, ``(batch, time)`` or ``(batch, 1, time)`` to ``(batch, n_src, time)``."""
        n_samples = waveform.shape[-1]
        bank = self.encoder
        frames = waveform.reshape(-1, n_samples).unfold(-1, bank.kernel_size, bank.stride)
        encoded = self.enc_activation(functional.linear(frames, bank.filters()[:, 0]))
        masked = self.masker(encoded) * encoded[:, :, None]
        pieces = functional.linear(masked, self.decoder.filters()[:, 0].t())
        signal = lay_over(pieces.transpose(1, 2), self.decoder.stride)
        signal = functional.pad(signal, (0, n_samples - signal.shape[-1]))
        return signal[0] if waveform.ndim == 1 else signal


def lay_over(pieces: torch.Tensor, stride: int) -> torch.Tensor:
    """Add frames where they overlap, ``(batch, n_src, frames, kernel)`` to ``(..., time)``."""
    *_, n_frames, kernel_size = pieces.shape
    n_over = -(-kernel_size // stride)
    pieces = functional.pad(widen(pieces), (0, n_over * stride - kernel_size))
    laid = [
        functional.pad(piece, (0, 0, place, n_over - 1 - place))
        for place, piece in enumerate(pieces.split(stride, -1))
    ]
    signal = torch.stack(laid).sum(0).flatten(-2)
    return signal[..., : (n_frames - 1) * stride + kernel_size]


class TimeMajorMasker(nn.Module):
    """A ``TDConvNet``; arguments as :class:`TimeMajorConvTasNet`."""

    def __init__(self, masker: Any, *, written: bool, kernels: bool) -> None:
        super().__init__()
        self.n_src, self.out_chan = masker.n_src, masker.out_chan
        norm, conv = masker.bottleneck
        self.bottleneck = NormedProduct(norm, [conv])
        last = len(masker.TCN) - 1
        self.blocks = nn.ModuleList(
            TimeMajorBlock(block, written=written, kernels=kernels, is_last=place == last)
            for place, block in enumerate(masker.TCN)
        )
        prelu, self.mask_conv = masker.mask_net
        self.slope = prelu.weight
        act = masker.output_act
        self.output_act = nn.Softmax(dim=2) if isinstance(act, nn.Softmax) else act

    def forward(self, encoded: torch.Tensor) -> torch.Tensor:
        """``(batch, time, n_filters)`` to masks ``(batch, time, n_src, n_filters)``."""
        (output,) = self.bottleneck(encoded, *measure_items(encoded))
        output, skips = output.to(encoded.dtype), None
        for block in self.blocks:
            output, skip = block(output)
            if skip is not None:
                skips = skip if skips is None else skips + skip
        features = apply_prelu(widen(output if skips is None else skips), self.slope)
        score = functional.linear(
            features.to(encoded.dtype), self.mask_conv.weight[:, :, 0], self.mask_conv.bias
        )
        return self.output_act(score.unflatten(-1, (self.n_src, self.out_chan)))


class TimeMajorBlock(nn.Module):
    """A ``Conv1DBlock`` with the addition to its input.

    Args:
        block: of Asteroid's.
        written: see :class:`TimeMajorConvTasNet`.
        kernels: likewise.
        is_last: of a masker; with skip connections its residual goes nowhere.
    """

    def __init__(self, block: Any, *, written: bool, kernels: bool, is_last: bool) -> None:
        super().__init__()
        self.first, prelu, norm, depthwise, last_prelu, last_norm = block.shared_block
        self.written, self.kernels = written, kernels
        self.slope, self.gamma, self.beta = prelu.weight, norm.gamma, norm.beta
        self.weight, self.bias, self.last_slope = (
            depthwise.weight,
            depthwise.bias,
            last_prelu.weight,
        )
        self.place = Dilated(depthwise.padding[0], depthwise.dilation[0])
        span = (depthwise.kernel_size[0] - 1) * self.place.dilation
        self.keeps_length = 2 * self.place.padding == span
        self.has_skip = hasattr(block, "skip_conv")
        self.has_residual = not (is_last and self.has_skip)
        outputs = [block.res_conv] if self.has_residual else []
        outputs += [block.skip_conv] if self.has_skip else []
        self.outputs = NormedProduct(last_norm, outputs)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """``(batch, time, bn_chan)`` to the next block's input, and the skip connection."""
        parts = list(self.outputs(*self._mix(x)))
        skip = parts.pop() if self.has_skip else None
        return (widen(x) + parts[0]).to(x.dtype) if parts else x, skip

    def _mix(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Activations and the statistics of the norm that follows."""
        weight, bias = self.first.weight[:, :, 0], self.first.bias
        if not self.written:
            hidden = functional.linear(x, weight, bias)
            norm, taps = (self.gamma, self.beta), (self.weight, self.bias)
            return mix_frames(hidden, (self.slope, self.last_slope), norm, taps, self.place)
        rest: Any = (self.weight, self.bias, self.last_slope, self.place)
        if self.kernels and self.keeps_length and has_kernels(x.device):
            hidden = functional.linear(x, weight)
            activations, values, squares, *_ = MixedByKernels.apply(
                hidden, bias, self.slope, self.gamma, self.beta, *rest
            )
        else:
            hidden = functional.linear(x, weight, bias)
            activations, values, squares, *_ = MixedFrames.apply(
                hidden, self.slope, self.gamma, self.beta, *rest
            )
        n_values = activations.shape[1] * activations.shape[2]
        return activations, *finish_statistics(values, squares, n_values)


class NormedProduct(nn.Module):
    """A ``GlobLN`` and the convolutions of kernel 1 that read it, as one product of matrices."""

    def __init__(self, norm: Any, convs: list[nn.Module]) -> None:
        super().__init__()
        self.gamma, self.beta = norm.gamma, norm.beta
        self.convs = nn.ModuleList(convs)

    def forward(
        self, x: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Float32 outputs ``(batch, time, channels)``, one of each convolution.

        Args:
            x: before the norm, ``(batch, time, channels)``.
            mean: of each item, ``(batch,)``.
            rstd: 1/std of each item, likewise.
        """
        convs: list[Any] = list(self.convs)
        weight = torch.cat([conv.weight[:, :, 0] for conv in convs])
        bias = torch.cat([conv.bias for conv in convs])
        scaled = (weight * self.gamma).to(x.dtype)
        # of the rounded weights, so that the mean cancels
        addend = (weight * self.beta).sum(1) + bias - (mean * rstd)[:, None] * widen(scaled).sum(1)
        sizes = [len(conv.weight) for conv in convs]
        # apart, so that their gradients are joined in x's type, not in float32
        parts = zip(
            functional.linear(x, scaled).split(sizes, -1), addend.split(sizes, -1), strict=True
        )
        factor = rstd[:, None, None]
        return tuple(torch.addcmul(more[:, None], widen(part), factor) for part, more in parts)


def find_obstacle(model: Any) -> str:
    """Why a model has no form of this file, in words; empty where it has."""
    if not (is_asteroids(model, "ConvTasNet") and is_asteroids(model.masker, "TDConvNet")):
        return "the model is not Asteroid's ConvTasNet"
    masker: Any = model.masker
    if masker.causal:
        return "it is causal"
    if masker.norm_type != "gLN":
        return f"its norm is {masker.norm_type}, not gLN"
    for part in (model.encoder, model.decoder):
        plain = not (part.is_pinv or part.padding or getattr(part, "output_padding", 0))
        if not (plain and is_asteroids(part.filterbank, "FreeFB")):
            return "its filters are not free ones"
    acts = (model.enc_activation, masker.output_act)
    if not (_is_elementwise(acts[0]) and (_is_elementwise(acts[1]) or _is_over_sources(acts[1]))):
        return f"its activations are {type(acts[0]).__name__} and {type(acts[1]).__name__}"
    return ""


def _is_elementwise(act: nn.Module) -> bool:
    return isinstance(act, ELEMENTWISE) or is_asteroids(act, "Swish")


def _is_over_sources(act: nn.Module) -> bool:
    return isinstance(act, nn.Softmax) and act.dim == 1
