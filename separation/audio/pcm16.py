"""16-bit samples as libsndfile writes and reads them."""

import numpy as np

INT32_MAX_FLOAT32 = 2147483520.0  # the largest float32 that fits 32 bits


def quantise(samples: np.ndarray) -> np.ndarray:
    """Samples as libsndfile writes them into 16 bits: saturating, half a step goes down.

    libsndfile rounds to 32 bits and keeps the upper 16.

    >>> quantise(np.float32([0.5, 1.5, -1.5, 0.99996948, -1e-12]))
    array([ 16384,  32767, -32768,  32767,      0], dtype=int16)
    """
    highest = INT32_MAX_FLOAT32 if samples.dtype == np.float32 else 2.0**31 - 1
    wide = samples * samples.dtype.type(2.0**31)
    np.clip(wide, samples.dtype.type(-(2.0**31)), samples.dtype.type(highest), out=wide)
    np.rint(wide, out=wide)
    return (wide.astype(np.int32) >> 16).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """16-bit samples as float32, as a WAV reader gives them."""
    return samples * np.float32(2.0**-15)
