"""What turns a mixture into estimates: the model, the mixture itself, an oracle mask."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.signal import istft, stft
from torch import nn

from separation.config import EvaluationConf
from separation.render import Mixture

Estimator = Callable[[Mixture], np.ndarray]


def estimate_mixture(mixture: Mixture) -> np.ndarray:
    """The unprocessed mixture for every source, ``(n_src, time)``: improves nothing."""
    return np.repeat(mixture.mixture[None], len(mixture.sources), axis=0)


def make_ratio_mask(conf: EvaluationConf, sample_rate: int) -> Estimator:
    """The oracle ideal ratio mask ``|S_i| / sum_j |S_j|`` on the mixture's STFT."""
    window = round(conf.stft_window_s * sample_rate)
    overlap = window - round(conf.stft_hop_s * sample_rate)
    settings = {"fs": sample_rate, "window": "hann", "nperseg": window, "noverlap": overlap}

    def estimate(mixture: Mixture) -> np.ndarray:
        magnitudes = np.abs(stft(mixture.sources, **settings)[2])
        masks = magnitudes / np.maximum(magnitudes.sum(axis=0), 1e-12)
        masked = masks * stft(mixture.mixture, **settings)[2]
        return istft(masked, **settings)[1][:, : len(mixture.mixture)]

    return estimate


def make_model_estimator(model: nn.Module, device: torch.device) -> Estimator:
    """A model's estimates at full length, float32, ``(n_src, time)``."""
    model = model.eval().to(device)

    def estimate(mixture: Mixture) -> np.ndarray:
        return separate_samples(model, mixture.mixture, device)

    return estimate


def separate_samples(model: nn.Module, samples: np.ndarray, device: torch.device) -> np.ndarray:
    """Run a model over one mixture ``(time,)``; returns float32 ``(n_src, time)``."""
    with torch.inference_mode():
        batch = torch.from_numpy(np.asarray(samples, np.float32))[None].to(device)
        return model(batch)[0].float().cpu().numpy()
