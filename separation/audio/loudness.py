"""Loudness by ITU-R BS.1770-4 (pyloudnorm), as LibriMix measures it."""

import warnings

import numpy as np
import pyloudnorm

BLOCK_S = 0.4


def measure_loudness_lufs(samples: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness of ``(time,)`` samples in LUFS; -inf for silence.

    Signals shorter than one gating block (0.4 s) are padded with zeros to its length.
    """
    shortage = int(np.ceil(BLOCK_S * sample_rate)) - len(samples)
    if shortage > 0:
        samples = np.pad(samples, (0, shortage))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meter = pyloudnorm.Meter(sample_rate)
        return float(meter.integrated_loudness(samples.astype(np.float64)))
