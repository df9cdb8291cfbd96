"""Activations computed again in the backward pass in place of being kept, for small GPUs."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


@contextlib.contextmanager
def keep_buffers(model: nn.Module) -> Iterator[None]:
    """Whatever runs meanwhile, running means of batch norms and other buffers stay as they were."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


def recompute(layers: nn.Module, *inputs: torch.Tensor) -> Any:
    """Run layers, keeping only their inputs for the backward pass (Chen et al. 2016).

    The second run draws the same dropout and leaves running means alone, so that results are those
    of running the layers once.
    """
    return checkpoint(
        layers,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (contextlib.nullcontext(), keep_buffers(layers)),
    )
