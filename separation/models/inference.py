"""Running a separation model on one signal, and setting the level of its outputs."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def multiply_exactly() -> Iterator[None]:
    """Without TF32, whose 10 bits of mantissa make a GPU's scores differ from a CPU's.

    PyTorch allows it for convolutions by default.
    """
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def separate_samples(model: nn.Module, samples: np.ndarray, device: torch.device) -> np.ndarray:
    """Run a model over one mixture ``(time,)``; returns float32 ``(n_src, time)``."""
    with torch.inference_mode(), multiply_exactly():
        batch = torch.from_numpy(np.asarray(samples, np.float32))[None].to(device)
        return model(batch)[0].float().cpu().numpy()


PEAK_MAX = 0.99


def fit_length(estimates: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut or zero-pad ``(n_src, time)`` to ``n_samples``."""
    shortage = max(0, n_samples - estimates.shape[-1])
    return np.pad(estimates, ((0, 0), (0, shortage)))[:, :n_samples]


def match_level(mixture: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Give scale-free estimates the level they have in the mixture.

    SI-SDR training leaves an estimate's scale (and sign) open; the factors that make the
    estimates' sum fit the mixture best in least squares decide it.

    Args:
        mixture: ``(time,)``.
        estimates: ``(n_src, time)``.
    """
    estimates = estimates.astype(np.float64)
    factors = np.linalg.lstsq(estimates.T, mixture.astype(np.float64), rcond=None)[0]
    scaled = estimates * factors[:, None]
    peak = np.abs(scaled).max()
    if peak > PEAK_MAX:
        logger.warning("outputs turned down by %.1f dB to avoid clipping", 20 * np.log10(peak))
        scaled *= PEAK_MAX / peak
    return scaled.astype(np.float32)
