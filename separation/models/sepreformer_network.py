"""SepReformer's network: separate early, then reconstruct (Shin, Lee, Kim and Park, NeurIPS 2024).

Written from the paper (arXiv 2406.05983, figures 2 to 4). An encoder of ``n_stages`` stages halves
the number of frames after each; every stage's output is split into a sequence per speaker; a
decoder, the same weights for all speakers, doubles the frames again, and speakers attend to each
other in each of its blocks. Sequences are ``(batch, frames, channels)``; in the decoder, ``batch``
counts the speakers of each mixture one after the other.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import glu, pad

from separation.models.asteroid import import_asteroid
from separation.models.recompute import recompute

FIRST_SCALE = 1e-5  # of what a layer adds to its input, before training (LayerScale)
BaseModel: Any = import_asteroid("models").BaseModel


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Arguments of the network, explained in conf/default.yml."""

    n_filters: int
    kernel_size: int
    stride: int
    bn_chan: int
    n_stages: int
    n_encoder_blocks: int
    n_decoder_blocks: int
    n_heads: int
    conv_kernel_size: int
    max_distance: int
    dropout: float
    shared_split: bool


def convolve(conv: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A convolution along time, ``(batch, frames, channels)`` to the same order of axes."""
    is_narrow = x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    if x.device.type != "cpu" or is_narrow:
        return conv(x.transpose(1, 2)).transpose(1, 2)
    # in two dimensions a CPU takes the sequence as it lies: half the time, and no copies after it;
    # but not in bfloat16, for which oneDNN has no fast depthwise kernel of that form
    flat = x.transpose(1, 2)[:, :, None]
    stride, padding = (1, *conv.stride), (0, *conv.padding)  # type: ignore[misc]
    weight = conv.weight[:, :, None]
    y = functional.conv2d(flat, weight, conv.bias, stride, padding, groups=conv.groups)
    return y[:, :, 0].transpose(1, 2)


def shift_rows(scores: torch.Tensor) -> torch.Tensor:
    """Scores by distance to scores by position (Transformer-XL, Dai et al. 2019, appendix B).

    Args:
        scores: ``(..., frames, 2 frames - 1)``: of a frame and distance ``frames - 1 - column``.

    Returns:
        ``(..., frames, frames)``: of frame ``i`` and frame ``j``, whose distance is ``i - j``.
    """
    n = scores.shape[-2]
    if n == 1:
        return scores
    # the row of the next frame begins one distance later: a view of rows shorter by one
    flat = scores.flatten(-2)[..., n - 1 : n - 1 + n * (2 * n - 2)]
    return flat.unflatten(-1, (n, 2 * n - 2))[..., :n]


class GlobalNorm(nn.Module):
    """Normalises over frames and channels together, one gain and offset a channel (gLN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, channels)`` to the same shape, in float32."""
        # not GroupNorm, which gives each item of a batch to one block of a GPU's threads
        x = x.float()
        variance, mean = torch.var_mean(x, (1, 2), correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-8) * self.weight + self.bias


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of ``(batch, frames, channels)``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(0, 1)).view_as(x)  # a trace keeps shapes as numbers


class FeedForward(nn.Module):
    """Gated convolutional feed-forward network (GCFN), with its residual."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        wide = 6 * channels
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, wide)
        self.conv = nn.Conv1d(wide, wide, 3, padding=1, groups=wide)
        self.narrow = nn.Linear(wide // 2, channels)
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.full((channels,), FIRST_SCALE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, channels)`` to the same shape."""
        y = convolve(self.conv, self.widen(self.norm(x)))
        y = self.narrow(self.dropout(glu(y)))
        return x + self.scale * self.dropout(y)


class Attention(nn.Module):
    """Multi-head attention of normalised input, scaled; :meth:`attend` says to what."""

    def __init__(self, channels: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.size = n_heads, channels // n_heads
        self.norm = nn.LayerNorm(channels)
        self.inputs = nn.Linear(channels, 3 * channels)  # queries, keys and values
        self.output = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.full((channels,), FIRST_SCALE))

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """``(..., channels)`` to the same shape."""
        parts = self.inputs(self.norm(x)).unflatten(-1, (3, self.n_heads, self.size))
        y = self.attend(*parts.unbind(-3), *others)
        return self.scale * self.dropout(self.output(y.flatten(-2)))

    def attend(self, *parts: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values ``(..., heads, size)`` to what is attended, the same shape."""
        raise NotImplementedError


class FrameAttention(Attention):
    """Every frame attends to every frame, with positions relative to each other."""

    def attend(self, *parts: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, heads, size)`` thrice and ``(2 frames - 1, size)``, see Distances."""
        query, key, value = (part.transpose(1, 2) for part in parts[:3])
        by_distance = (query / math.sqrt(self.size)) @ parts[3].T
        return functional.scaled_dot_product_attention(
            query,
            key,
            value,
            shift_rows(by_distance).to(query.dtype),
            dropout_p=self.dropout.p if self.training else 0.0,
        ).transpose(1, 2)


class SpeakerAttention(Attention):
    """In every frame, each speaker attends to all (cross-speaker attention)."""

    def attend(self, *parts: torch.Tensor) -> torch.Tensor:
        """``(batch, n_src, frames, heads, size)`` thrice to the same shape."""
        query, key, value = parts
        # written out: as products of matrices they would be a multitude of two rows each
        scores = (query[:, :, None] * key[:, None]).sum(-1) / math.sqrt(self.size)
        weights = self.dropout(scores.softmax(2)).to(value.dtype)
        return (weights[..., None] * value[:, None]).sum(2)


class GlobalBlock(nn.Module):
    """Global Transformer block: attention at the lowest frame rate (EGA), feed-forward."""

    def __init__(self, channels: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = FrameAttention(channels, n_heads, dropout)
        self.gate = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, channels), nn.Sigmoid()
        )
        self.feed_forward = FeedForward(channels, dropout)

    def forward(self, x: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, channels)`` to the same shape; ``distances`` of the lowest rate."""
        n_lowest = (distances.shape[0] + 1) // 2  # a trace keeps len() as a number
        parts = x.unflatten(1, (n_lowest, -1))
        y = self.attention(parts.mean(2), distances)
        x = (parts + self.gate(parts) * y[:, :, None]).flatten(1, 2)
        return self.feed_forward(x)


class LocalBlock(nn.Module):
    """Local Transformer block: convolution in place of attention (CLA), feed-forward."""

    def __init__(self, channels: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.gated = nn.Linear(channels, 2 * channels)
        self.conv = nn.Conv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        self.widen = nn.Linear(channels, 2 * channels)
        self.batch_norm = BatchNorm(2 * channels)
        self.narrow = nn.Linear(2 * channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.full((channels,), FIRST_SCALE))
        self.feed_forward = FeedForward(channels, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, channels)`` to the same shape."""
        y = convolve(self.conv, glu(self.gated(self.norm(x))))
        y = self.narrow(functional.gelu(self.batch_norm(self.widen(y))))
        return self.feed_forward(x + self.scale * self.dropout(y))


class SpeakerBlock(nn.Module):
    """Cross-speaker Transformer block (CS): speakers attend to each other, feed-forward."""

    def __init__(self, channels: int, n_heads: int, dropout: float, n_src: int) -> None:
        super().__init__()
        self.n_src = n_src
        self.attention = SpeakerAttention(channels, n_heads, dropout)
        self.feed_forward = FeedForward(channels, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch * n_src, frames, channels)`` to the same shape."""
        apart = x.unflatten(0, (-1, self.n_src))
        return self.feed_forward((apart + self.attention(apart)).flatten(0, 1))


class Stage(nn.Module):
    """Blocks at one frame rate: global, local, and, given ``n_src``, across speakers, in turn."""

    def __init__(self, sizes: Sizes, n_blocks: int, n_src: int = 0) -> None:
        super().__init__()
        channels, dropout = sizes.bn_chan, sizes.dropout
        self.blocks = nn.ModuleList()
        for _ in range(n_blocks):
            self.blocks.append(GlobalBlock(channels, sizes.n_heads, dropout))
            self.blocks.append(LocalBlock(channels, sizes.conv_kernel_size, dropout))
            if n_src:
                self.blocks.append(SpeakerBlock(channels, sizes.n_heads, dropout, n_src))

    def forward(self, x: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, channels)`` to the same shape."""
        for block in self.blocks:
            x = block(x, distances) if isinstance(block, GlobalBlock) else block(x)
        return x


class Halving(nn.Module):
    """Half as many frames: a depthwise convolution, batch norm, GELU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 5, stride=2, padding=2, groups=channels)
        self.norm = BatchNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, channels)`` to ``(batch, frames / 2, channels)``."""
        return functional.gelu(self.norm(convolve(self.conv, x)))


class SpeakerSplit(nn.Module):
    """One sequence of the mixture to one of each speaker."""

    def __init__(self, channels: int, n_src: int) -> None:
        super().__init__()
        self.n_src = n_src
        self.widen = nn.Linear(channels, 4 * channels * n_src)
        self.narrow = nn.Linear(2 * channels * n_src, channels * n_src)
        self.norm = GlobalNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, frames, channels)`` to ``(batch * n_src, frames, channels)``."""
        y = self.narrow(glu(self.widen(x)))
        return self.norm(y.unflatten(-1, (self.n_src, -1)).transpose(1, 2).flatten(0, 1))


class Output(nn.Module):
    """Features of a speaker to a signal."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        channels, n_filters = sizes.bn_chan, sizes.n_filters
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(2 * channels, n_filters)
        self.decoder = nn.ConvTranspose1d(n_filters, 1, sizes.kernel_size, sizes.stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch * n_src, frames, channels)`` to ``(batch * n_src, frames, n_filters)``."""
        return self.narrow(glu(self.widen(x)))

    def decode(self, y: torch.Tensor) -> torch.Tensor:
        """``(batch * n_src, frames, n_filters)`` to ``(batch * n_src, time)``."""
        return self.decoder(y.transpose(1, 2))[:, 0]


class SepReformer(BaseModel):  # type: ignore[misc]
    """``(batch, time)`` to ``(batch, n_src, time)``; arguments as in conf/default.yml.

    Attributes:
        recomputes: a stage's activations are computed again in the backward pass, not kept.
    """

    def __init__(self, n_src: int, sample_rate: float = 8000, **sizes: Any) -> None:
        super().__init__(sample_rate)
        self.arguments = {"n_src": n_src, "sample_rate": sample_rate} | sizes
        self.n_src, self.sizes, self.recomputes = n_src, Sizes(**sizes), False
        self._define_ends()
        self._define_stages()

    def _define_ends(self) -> None:
        s = self.sizes
        self.encoder = nn.Conv1d(1, s.n_filters, s.kernel_size, s.stride, bias=False)
        self.input_norm = GlobalNorm(s.n_filters)
        self.input = nn.Linear(s.n_filters, s.bn_chan, bias=False)
        self.output = Output(s)
        self.early_outputs = nn.ModuleList(Output(s) for _ in range(s.n_stages))

    def _define_stages(self) -> None:
        s, n_src = self.sizes, self.n_src
        halved = range(s.n_stages)
        self.distances = nn.Embedding(2 * s.max_distance, s.bn_chan // s.n_heads)
        self.encoder_stages = nn.ModuleList(
            Stage(s, s.n_encoder_blocks) for _ in range(s.n_stages + 1)
        )
        self.halvings = nn.ModuleList(Halving(s.bn_chan) for _ in halved)
        n_splits = 1 if s.shared_split else s.n_stages + 1
        self.splits = nn.ModuleList(SpeakerSplit(s.bn_chan, n_src) for _ in range(n_splits))
        self.fusions = nn.ModuleList(nn.Linear(2 * s.bn_chan, s.bn_chan) for _ in halved)
        self.decoder_stages = nn.ModuleList(Stage(s, s.n_decoder_blocks, n_src) for _ in halved)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Mixtures ``(batch, time)``, or ``(batch, 1, time)``, to ``(batch, n_src, time)``."""
        encoded = self.encode(wav)
        features = self.separate_features(encoded)[-1]
        y = self.output(features[:, : encoded.shape[1]])
        return self.decode(self.output, y, wav.shape[-1])

    def estimate_all(self, wav: torch.Tensor) -> torch.Tensor:
        """The estimates that training has a loss for, the last of which is that of ``forward``.

        Args:
            wav: ``(batch, time)``.

        Returns:
            ``(n_stages + 1, batch, n_src, time)``: of every decoder stage's input, by masks of the
            encoded mixture, and of the last stage's output.
        """
        encoded = self.encode(wav)
        n_frames, n_samples = encoded.shape[1], wav.shape[-1]
        *early, last = self.separate_features(encoded)
        estimates = []
        for k, (output, x) in enumerate(zip(self.early_outputs, early, strict=True)):
            masks = (
                output(x).relu().repeat_interleave(2 ** (self.sizes.n_stages - k), 1)[:, :n_frames]
            )
            masked = masks.unflatten(0, (-1, self.n_src)) * encoded[:, None]
            estimates.append(self.decode(output, masked.flatten(0, 1), n_samples))
        y = self.output(last[:, :n_frames])
        return torch.stack([*estimates, self.decode(self.output, y, n_samples)])

    def encode(self, wav: torch.Tensor) -> torch.Tensor:
        """``(batch, time)`` to ``(batch, frames, n_filters)``, which cover every sample."""
        wav = wav.reshape(-1, 1, wav.shape[-1])
        missing = -wav.shape[-1] % self.sizes.stride
        if not torch.jit.is_tracing():  # which would keep the larger of this one length
            missing = max(self.sizes.kernel_size - wav.shape[-1], missing)
        return functional.gelu(self.encoder(pad(wav, (0, missing)))).transpose(1, 2)

    def decode(self, output: nn.Module, y: torch.Tensor, n_samples: int) -> torch.Tensor:
        """``(batch * n_src, frames, n_filters)`` to ``(batch, n_src, n_samples)``."""
        return output.decode(y)[:, :n_samples].unflatten(0, (-1, self.n_src))  # type: ignore[operator]

    def separate_features(self, encoded: torch.Tensor) -> list[torch.Tensor]:
        """Inputs of all decoder stages and the last's output ``(batch * n_src, frames', bn_chan)``.

        Args:
            encoded: ``(batch, frames, n_filters)``; frames are padded to halve evenly.
        """
        x = self.input(self.input_norm(encoded))
        x = pad(x, (0, 0, 0, -x.shape[1] % 2**self.sizes.n_stages))
        distances = self.look_up_distances(x.shape[1] // 2**self.sizes.n_stages)
        skips = []
        for k, stage in enumerate(self.encoder_stages):
            x = recompute(stage, x, distances) if self.recomputes else stage(x, distances)
            skips.append(self.splits[min(k, len(self.splits) - 1)](x))
            if k < self.sizes.n_stages:
                x = self.halvings[k](x)
        features = [skips.pop()]
        for fusion, stage in zip(self.fusions, self.decoder_stages, strict=True):
            x = torch.cat([features[-1].repeat_interleave(2, 1), skips.pop()], -1)
            x = fusion(x)
            x = recompute(stage, x, distances) if self.recomputes else stage(x, distances)
            features.append(x)
        return features

    def look_up_distances(self, n_frames: int) -> torch.Tensor:
        """Embeddings ``(2 n_frames - 1, size of a head)`` of distances, from the largest down."""
        steps = torch.arange(n_frames - 1, -n_frames, -1, device=self.distances.weight.device)
        steps = steps.clamp(-self.sizes.max_distance, self.sizes.max_distance - 1)
        return self.distances(steps + self.sizes.max_distance)

    def get_model_args(self) -> dict[str, Any]:
        """Keyword arguments that make the model again."""
        return self.arguments


import_asteroid("models").register_model(SepReformer)  # Asteroid's from_pretrained loads its files
