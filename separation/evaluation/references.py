"""What a model is compared with: the mixture itself as the floor, oracle masks as ceilings.

They need no torch, can be pickled, and are computed by the processes that score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import istft, stft

from separation.config.schema import FLOOR, EvaluationConf
from separation.mixtures.signals import Mixture
from separation.models.chunks import LONGEST_WHOLE_S

BLOCK_S = 60.0  # of a long mixture that is masked at a time


@dataclass(frozen=True)
class MixtureItself:
    """The unprocessed mixture for every source, which improves nothing."""

    def __call__(self, mixture: Mixture) -> np.ndarray:
        """``(n_src, time)``."""
        return np.repeat(mixture.mixture[None], len(mixture.sources), axis=0)


@dataclass(frozen=True, kw_only=True)
class OracleMask:
    """An oracle mask on the mixture's STFT, made from the sources: a ceiling for masking.

    With magnitudes ``|S_i|`` of the sources and ``|N|`` of the noise (Erdogan et al. 2015,
    table 1): ``ibm`` is 1 where source i is the largest of sources and noise and 0 elsewhere
    (Wang 2005); ``irm`` is ``|S_i| / (sum_j |S_j| + |N|)``; ``wfm`` (Wiener-like) is
    ``|S_i|^2 / (sum_j |S_j|^2 + |N|^2)``. The noise is what the mixture holds beside its
    sources; what 16-bit rounding leaves is none (:func:`find_noise`). The phase is the
    mixture's, so masks of another kind, and time-domain models, may score higher.

    Attributes:
        name: ``ibm``, ``irm`` or ``wfm``.
        window, hop: of the STFT, in samples.
        sample_rate: Hz.
    """

    name: str
    window: int
    hop: int
    sample_rate: int

    def __call__(self, mixture: Mixture) -> np.ndarray:
        """``(n_src, time)``."""
        n_samples = len(mixture.mixture)
        signals = (mixture.mixture[None], mixture.sources, find_noise(mixture))
        if n_samples <= LONGEST_WHOLE_S * self.sample_rate:
            return self._mask(signals)
        n_block = self.hop * round(BLOCK_S * self.sample_rate / self.hop)
        margin = self.hop * -(-self.window // self.hop)
        parts = []
        for start in range(0, n_samples, n_block):  # frames lie where those of the whole do
            before = min(start, margin)
            part = [own[:, start - before : start + n_block + margin] for own in signals]
            parts.append(self._mask(part)[:, before : before + n_block])
        return np.concatenate(parts, axis=1)

    def _mask(self, signals: Sequence[np.ndarray]) -> np.ndarray:
        """``(n_src, time)`` of mixture, sources and noise, ``(n, time)`` each."""
        overlap = self.window - self.hop
        settings = {"fs": self.sample_rate, "window": "hann", "nperseg": self.window}
        settings |= {"noverlap": overlap}
        n_samples = signals[0].shape[-1]
        padding = ((0, 0), (0, max(0, self.window - n_samples)))  # an STFT needs one window
        mixed, *parts = (stft(np.pad(own, padding), **settings)[2] for own in signals if len(own))
        masks = ORACLE_MASKS[self.name](np.abs(np.concatenate(parts)))[: len(signals[1])]
        return istft(masks * mixed, **settings)[1][:, :n_samples]


Reference = MixtureItself | OracleMask


def make_reference(name: str, conf: EvaluationConf, sample_rate: int) -> Reference:
    """The mixture as the floor, or an oracle mask as a ceiling."""
    return MixtureItself() if name == FLOOR else make_oracle_mask(name, conf, sample_rate)


def make_oracle_mask(name: str, conf: EvaluationConf, sample_rate: int) -> OracleMask:
    """An oracle mask.

    Args:
        name: ``ibm``, ``irm`` or ``wfm``.
        conf: window and hop in seconds.
        sample_rate: Hz.
    """
    window, hop = (round(s * sample_rate) for s in (conf.stft_window_s, conf.stft_hop_s))
    return OracleMask(name=name, window=window, hop=hop, sample_rate=sample_rate)


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
