"""Polyphase resampling: to the bit as SciPy's, or faster to float32's rounding."""

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import firwin, resample_poly

RESAMPLE_HALF_LENGTH = 10  # of resample_poly's filter, in periods of the lower rate


MAX_BLOCK = 1 << 18  # up times down of the largest matrix that resample_fast makes


NEGLIGIBLE = 2.0**-48  # taps that are zero but for rounding; every other one of a half-band filter


RESAMPLE_BLOCK = 1 << 18  # input samples at a time of a signal that comes in blocks


DECIMATE_BLOCK = 131072  # fewer calls are worth more than a smaller cache footprint


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


def resample_blocks(
    blocks: Iterable[np.ndarray], rate_in: int, rate_out: int
) -> Iterator[np.ndarray]:
    """:func:`resample` of a signal that comes in blocks along the last axis, in flat memory.

    Its results joined are those of the whole signal: every block is resampled with as much of its
    surroundings as the filter reaches.

    Args:
        blocks: ``(..., time)``, of any lengths.
    """
    if rate_in == rate_out:
        yield from blocks
        return
    up, down, reach = find_reach(rate_in, rate_out)
    size = -(-RESAMPLE_BLOCK // down) * down
    held: np.ndarray | None = None
    before = 0  # held samples whose results were given: the surroundings of the next
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        while held.shape[-1] >= before + size + reach:
            piece = resample(held[..., : before + size + reach], rate_in, rate_out)
            yield piece[..., before // down * up : (before + size) // down * up]
            dropped = max(0, before + size - reach)
            held, before = held[..., dropped:], before + size - dropped
    if held is not None:
        yield resample(held, rate_in, rate_out)[..., before // down * up :]


def find_reach(rate_in: int, rate_out: int) -> tuple[int, int, int]:
    """Factors up and down of a resampling, and the input samples around one that the result needs.

    >>> find_reach(16000, 8000)
    (1, 2, 24)
    """
    factor = math.gcd(rate_in, rate_out)
    up, down = rate_out // factor, rate_in // factor
    reach = (-(-RESAMPLE_HALF_LENGTH * max(up, down) // up) // down + 2) * down
    return up, down, reach


class StreamResampler:
    """:func:`resample` of a signal that comes bit by bit along the last axis, as soon as may be.

    What it gives, joined, is what the whole signal gives; it is behind by its filter's reach.

    Attributes:
        latency_s: seconds from a sample's coming to the result that it belongs to.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self.rates = rate_in, rate_out
        self.up, self.down, self.reach = find_reach(rate_in, rate_out)
        self.latency_s = 0.0 if rate_in == rate_out else (self.reach + self.down) / rate_in
        self.held: np.ndarray | None = None
        self.n_before = 0  # held samples whose results were given

    def feed(self, block: np.ndarray) -> np.ndarray:
        """``(..., time)``, any number of samples, to the results that are known now."""
        if not self.latency_s:
            return block
        held = block if self.held is None else np.concatenate([self.held, block], axis=-1)
        n_known = (held.shape[-1] - self.n_before - self.reach) // self.down * self.down
        self.held = held
        if n_known <= 0:
            return held[..., :0]
        end = self.n_before + n_known
        known = self._resample(held[..., : end + self.reach])[..., : n_known // self.down * self.up]
        dropped = max(0, end - self.reach)
        self.held, self.n_before = held[..., dropped:], end - dropped
        return known

    def finish(self) -> np.ndarray | None:
        """The rest of the results; None where nothing is missing."""
        return None if self.held is None else self._resample(self.held)

    def _resample(self, samples: np.ndarray) -> np.ndarray:
        return resample(samples, *self.rates)[..., self.n_before // self.down * self.up :]


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
