"""Estimators, which turn a mixture into estimates: a model, oracle masks, the mixture itself."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.signal import istft, stft
from torch import nn

from separation.config.schema import FLOOR, EvaluationConf
from separation.mixtures.signals import Mixture
from separation.models.chunks import LONGEST_WHOLE_S
from separation.models.inference import Separator, multiply_exactly

BLOCK_S = 60.0  # of a long mixture that is masked at a time
Estimator = Callable[[Mixture], np.ndarray]


def make_reference_estimator(name: str, conf: EvaluationConf, sample_rate: int) -> Estimator:
    """What a model is compared with: the mixture as the floor, an oracle mask as a ceiling."""
    return estimate_mixture if name == FLOOR else make_oracle_mask(name, conf, sample_rate)


def estimate_mixture(mixture: Mixture) -> np.ndarray:
    """The unprocessed mixture for every source, ``(n_src, time)``: improves nothing."""
    return np.repeat(mixture.mixture[None], len(mixture.sources), axis=0)


def make_ratio_mask(conf: EvaluationConf, sample_rate: int) -> Estimator:
    """The oracle ideal ratio mask; see :func:`make_oracle_mask`."""
    return make_oracle_mask("irm", conf, sample_rate)


def make_oracle_mask(name: str, conf: EvaluationConf, sample_rate: int) -> Estimator:
    """An oracle mask on the mixture's STFT, made from the sources: a ceiling for masking.

    With magnitudes ``|S_i|`` of the sources and ``|N|`` of the noise (Erdogan et al. 2015,
    table 1): ``ibm`` is 1 where source i is the largest of sources and noise and 0 elsewhere
    (Wang 2005); ``irm`` is ``|S_i| / (sum_j |S_j| + |N|)``; ``wfm`` (Wiener-like) is
    ``|S_i|^2 / (sum_j |S_j|^2 + |N|^2)``. The noise is what the mixture holds beside its
    sources; what 16-bit rounding leaves is none (:func:`find_noise`). The phase is the
    mixture's, so masks of another kind, and time-domain models, may score higher.

    Args:
        conf: window and hop in seconds.
        sample_rate: Hz.

    Returns:
        mixture -> ``(n_src, time)``.
    """
    window = round(conf.stft_window_s * sample_rate)
    overlap = window - round(conf.stft_hop_s * sample_rate)
    settings = {"fs": sample_rate, "window": "hann", "nperseg": window, "noverlap": overlap}
    make_mask = ORACLE_MASKS[name]

    def estimate(signals: Sequence[np.ndarray]) -> np.ndarray:
        """``(n_src, time)`` of mixture, sources and noise, ``(n, time)`` each."""
        n_samples = signals[0].shape[-1]
        padding = ((0, 0), (0, max(0, window - n_samples)))  # an STFT needs one window
        mixed, *parts = (stft(np.pad(own, padding), **settings)[2] for own in signals if len(own))
        masks = make_mask(np.abs(np.concatenate(parts)))[: len(signals[1])]
        return istft(masks * mixed, **settings)[1][:, :n_samples]

    def estimate_all(mixture: Mixture) -> np.ndarray:
        n_samples = len(mixture.mixture)
        signals = (mixture.mixture[None], mixture.sources, find_noise(mixture))
        if n_samples <= LONGEST_WHOLE_S * sample_rate:
            return estimate(signals)
        hop = window - overlap
        n_block = hop * round(BLOCK_S * sample_rate / hop)
        margin = hop * -(-window // hop)
        parts = []
        for start in range(0, n_samples, n_block):  # frames lie where those of the whole do
            before = min(start, margin)
            part = [own[:, start - before : start + n_block + margin] for own in signals]
            parts.append(estimate(part)[:, before : before + n_block])
        return np.concatenate(parts, axis=1)

    return estimate_all


def find_noise(mixture: Mixture) -> np.ndarray:
    """The mixture minus its sources, ``(1, time)``, or ``(0, time)`` where that is rounding.

    Mixture and sources are rounded to 16 bits each, so a sum may be off by a step a source.
    """
    noise = mixture.mixture - mixture.sources.sum(axis=0, dtype=np.float64)
    clean = np.abs(noise).max(initial=0.0) <= len(mixture.sources) / 32768
    return noise.astype(np.float32)[None][int(clean) :]


def _mask_binary(magnitudes: np.ndarray) -> np.ndarray:
    largest = magnitudes.argmax(axis=0)
    return (np.arange(len(magnitudes))[:, None, None] == largest).astype(magnitudes.dtype)


def _mask_ratio(magnitudes: np.ndarray) -> np.ndarray:
    return magnitudes / np.maximum(magnitudes.sum(axis=0), 1e-12)


def _mask_wiener(magnitudes: np.ndarray) -> np.ndarray:
    powers = magnitudes.astype(np.float64) ** 2
    return powers / np.maximum(powers.sum(axis=0), 1e-24)


ORACLE_MASKS = {"ibm": _mask_binary, "irm": _mask_ratio, "wfm": _mask_wiener}


class ModelEstimator:
    """A model's estimates at full length, float32, ``(n_src, time)``.

    Args:
        model: moved to the device.
        device: CPU or GPU.

    Attributes:
        n_at_once: mixtures that :meth:`estimate_all` had best be given at a time.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.device = device
        self.separator = Separator(model.eval().to(device), device)
        self.n_at_once = self.separator.n_at_once

    def __call__(self, mixture: Mixture) -> np.ndarray:
        return self.estimate_all([mixture])[0]

    def estimate_all(self, mixtures: Sequence[Mixture]) -> list[np.ndarray]:
        """Estimates of each as it would have them alone."""
        with torch.inference_mode(), multiply_exactly():
            signals = [
                torch.from_numpy(np.asarray(mixture.mixture, np.float32)).to(self.device)
                for mixture in mixtures
            ]
            return [found.cpu().numpy() for found in self.separator.separate(signals)]


def make_model_estimator(model: nn.Module, device: torch.device) -> ModelEstimator:
    """What a model gives for a mixture, or for several at once."""
    return ModelEstimator(model, device)
