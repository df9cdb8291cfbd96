"""Operations that keep the example's length in an ONNX file, as others that follow the input's.

Chunks of frames (``unfold``, ``fold``) are convolutions with the unit matrix, attention is products
of matrices; for the time of an export only.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from separation.models.asteroid import import_asteroid

Pair = tuple[int, int]


def cut_chunks(x: torch.Tensor, kernel_size: Pair, padding: Pair, stride: Pair) -> torch.Tensor:
    """``unfold`` along the third axis: ``(batch, channels, frames, 1)`` to its columns."""
    batch, channels, n_frames, _ = x.shape
    size = kernel_size[0]
    unit = torch.eye(size)[:, None]
    chunks = functional.conv1d(x.reshape(-1, 1, n_frames), unit, None, stride[0], padding[0])
    return chunks.reshape(batch, channels * size, -1)


def add_chunks(
    x: torch.Tensor, output_size: Pair, kernel_size: Pair, padding: Pair, stride: Pair
) -> torch.Tensor:
    """``fold`` along the third axis: columns to ``(batch, channels, frames, 1)``."""
    batch, n_values, n_chunks = x.shape
    size = kernel_size[0]
    unit = torch.eye(size)[:, None]
    laid = functional.conv_transpose1d(x.reshape(-1, size, n_chunks), unit, None, stride[0])
    laid = laid[..., padding[0] :]
    return laid[..., : output_size[0]].reshape(batch, n_values // size, -1, 1)


def attend(
    self: nn.MultiheadAttention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, None]:
    """``MultiheadAttention`` to itself in evaluation mode, ``(frames, batch, channels)``."""
    size = self.embed_dim // self.num_heads
    parts = functional.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
    queries, keys, values = (
        part.unflatten(-1, (self.num_heads, size)).permute(1, 2, 0, 3) for part in parts
    )
    weights = (queries @ keys.transpose(-2, -1) / math.sqrt(size)).softmax(-1)
    return self.out_proj((weights @ values).permute(2, 0, 1, 3).flatten(-2)), None


@contextlib.contextmanager
def follow_length() -> Iterator[None]:
    """Within it, networks of Asteroid's that work on chunks are traced for any length."""
    recurrent = import_asteroid("masknn.recurrent")
    replaced: list[tuple[Any, str, Any]] = [
        *((place, "unfold", cut_chunks) for place in (functional, recurrent)),
        *((place, "fold", add_chunks) for place in (functional, recurrent)),
        (nn.MultiheadAttention, "forward", attend),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    try:
        for place, name, value in replaced:
            setattr(place, name, value)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
