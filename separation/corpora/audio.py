"""Reading recordings of any format into mono samples, with clear complaints."""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import firwin, resample_poly

from separation.errors import MissingInputError, UserError

RESAMPLE_HALF_LENGTH = 10  # of resample_poly's filter, in periods of the lower rate
MAX_BLOCK = 1 << 18  # up times down of the largest matrix that resample_fast makes
NEGLIGIBLE = 2.0**-48  # taps that are zero but for rounding; every other one of a half-band filter
DECIMATE_BLOCK = 131072  # fewer calls are worth more than a smaller cache footprint
INT32_MAX_FLOAT32 = 2147483520.0  # the largest float32 that fits 32 bits


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Decode a file.

    Headerless G.722 (``.g722``, 64 kbit/s, 16 kHz) and GSM 06.10 (``.gsm``, 8 kHz)
    are told by their suffix; everything else is what libsndfile reads.

    Returns:
        float32 samples ``(time, channels)`` and the sample rate in Hz.

    Raises:
        MissingInputError: there is no such file.
        UserError: the file cannot be decoded, is empty or holds non-finite samples.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such audio file; check the path.")
    try:
        samples, sample_rate = _decode(path)
    except (soundfile.LibsndfileError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path}: cannot be decoded ({error}); convert it to WAV or FLAC, or remove it."
        ) from error
    if samples.size == 0:
        raise UserError(f"{path}: holds no samples; remove it or record it again.")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds NaN or infinite samples; export it again.")
    return samples, sample_rate


def _decode(path: Path) -> tuple[np.ndarray, int]:
    if path.suffix == ".g722":
        from G722 import G722

        pcm = G722(16000, 64000).decode(path.read_bytes())
        return (np.asarray(pcm, np.float32) / 32768)[:, None], 16000
    if path.suffix == ".gsm":
        raw = {"format": "RAW", "subtype": "GSM610", "samplerate": 8000, "channels": 1}
        return soundfile.read(path, dtype="float32", always_2d=True, **raw)
    return soundfile.read(path, dtype="float32", always_2d=True)


def read_mono(path: Path, channel: str = "mono") -> tuple[np.ndarray, int]:
    """Read one channel.

    Args:
        path: any file that :func:`read_audio` reads.
        channel: ``mono`` refuses more than one channel, ``first`` takes channel 0,
            ``mean`` averages.

    Returns:
        float32 samples ``(time,)`` and the sample rate in Hz.
    """
    samples, sample_rate = read_audio(path)
    if samples.shape[1] > 1 and channel == "mono":
        raise UserError(
            f"{path}: has {samples.shape[1]} channels where one is expected; convert it to "
            "mono, or choose with --set corpus.channel=first or corpus.channel=mean."
        )
    mono = samples.mean(axis=1) if channel == "mean" else samples[:, 0]
    return np.ascontiguousarray(mono, np.float32), sample_rate


def resample(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """``scipy.signal.resample_poly`` along the last axis, to the bit, its filter made once.

    At equal rates the samples come back as they are.
    """
    if rate_in == rate_out:
        return samples
    factor = math.gcd(rate_in, rate_out)
    up, down = rate_out // factor, rate_in // factor
    dtype = samples.dtype if samples.dtype == np.float32 else np.dtype(np.float64)
    taps = _make_filter(up, down, dtype)
    if up == 1 and samples.ndim == 1 and samples.dtype == dtype:
        return _decimate(samples, down, taps)
    return resample_poly(samples, up, down, axis=-1, window=taps)


def _decimate(samples: np.ndarray, down: int, taps: np.ndarray) -> np.ndarray:
    """``resample_poly(samples, 1, down)`` to the bit, several times as fast.

    SciPy sums the taps of one output after another; here a tap is added to a block of outputs
    at a time, which vectorises and keeps each output's order of additions, oldest sample first.
    In float32 the taps that would be zero but for rounding are left out: where a sum should be
    zero it is, in place of 1e-21, and no other differs.
    """
    half = len(taps) // 2
    n_out = -(-len(samples) // down)
    n_columns = -(-(len(samples) + 2 * half) // down) + 1
    phases = np.empty((down, n_columns), samples.dtype)
    for phase in range(down):
        first = (phase - half) % down
        piece, start = samples[first::down], (first + half) // down
        phases[phase, :start] = 0
        phases[phase, start : start + len(piece)] = piece
        phases[phase, start + len(piece) :] = 0
    decimated, product = (
        np.empty(n_out, samples.dtype),
        np.empty(min(DECIMATE_BLOCK, n_out), samples.dtype),
    )
    least = NEGLIGIBLE if taps.dtype == np.float32 else 0.0
    kept = [(number, tap) for number, tap in enumerate(taps[::-1]) if abs(tap) > least]
    for start in range(0, n_out, DECIMATE_BLOCK):
        total = decimated[start : start + DECIMATE_BLOCK]
        length = len(total)
        for place, (number, tap) in enumerate(kept):
            first = start + number // down
            piece = phases[number % down, first : first + length]
            if place == 0:
                np.multiply(piece, tap, total)
            else:
                np.multiply(piece, tap, product[:length])
                np.add(total, product[:length], total)
    return decimated


def resample_fast(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """:func:`resample`, several times as fast for odd ratios, to float32's rounding.

    For what is heard in training only: a block of outputs is one product of matrices, whose sums
    a library orders as it likes, so that the last bit may differ from machine to machine.

    Args:
        samples: float32 ``(time,)``.
    """
    factor = math.gcd(rate_in, rate_out)
    up, down = rate_out // factor, rate_in // factor
    if up == 1 or samples.dtype != np.float32 or up * down > MAX_BLOCK:
        return resample(samples, rate_in, rate_out)
    weights, reach = _make_blocks(up, down)
    n_blocks = -(-len(samples) // down)
    padded = np.zeros(reach + (n_blocks - 1) * down + len(weights), np.float32)
    padded[reach : reach + len(samples)] = samples
    inputs = sliding_window_view(padded, len(weights))[: n_blocks * down : down]
    outputs = np.ascontiguousarray(inputs) @ weights
    return outputs.reshape(-1)[: count_resampled(len(samples), rate_in, rate_out)]


@lru_cache(maxsize=128)
def _make_blocks(up: int, down: int) -> tuple[np.ndarray, int]:
    """What ``down`` inputs and their surroundings give to ``up`` outputs.

    Returns:
        float32 ``(inputs, up)`` and how many of the inputs lie before the block.
    """
    taps = _make_filter(up, down, np.dtype(np.float64)) * up
    half = len(taps) // 2
    reach = half // up
    last = ((up - 1) * down + half) // up
    places = (np.arange(up) * down + half)[None, :] - np.arange(-reach, last + 1)[:, None] * up
    inside = (places >= 0) & (places < len(taps))
    weights = np.where(inside, taps[np.clip(places, 0, len(taps) - 1)], 0.0)
    return weights.astype(np.float32), reach


@lru_cache(maxsize=32)
def _make_filter(up: int, down: int, dtype: np.dtype) -> np.ndarray:
    """The anti-aliasing filter that ``resample_poly`` designs anew at every call."""
    widest = max(up, down)
    taps = firwin(2 * RESAMPLE_HALF_LENGTH * widest + 1, 1.0 / widest, window=("kaiser", 5.0))
    return taps.astype(dtype)


def count_resampled(n_samples: int, rate_in: int, rate_out: int) -> int:
    """Length of :func:`resample`'s result.

    >>> count_resampled(5, 16000, 8000)
    3
    """
    factor = math.gcd(rate_in, rate_out)
    return -(-n_samples * (rate_out // factor) // (rate_in // factor))


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
