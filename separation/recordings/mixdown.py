"""Turns of two voices -> their tracks: the recording where one speaks alone, else the outputs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from separation.models.inference import find_factors
from separation.recordings.chunks import StoredEstimates
from separation.recordings.speech_networks import TICK_S
from separation.recordings.turns import FIRST, NEITHER, SECOND, Turns

FADE_S = 0.02  # of gains, from tick to tick
BLOCK_TICKS = 160
CERTAIN = 0.1  # probabilities this near to 0 or 1 count as either
UNSURE = 0.9  # mean certainty of a second, below which it is suspected
SEPARATED = 0.7  # least share of the outputs where both may speak: a model errs less than a guess


@dataclass(frozen=True, kw_only=True)
class Products:
    """Inner products of a recording and its estimates in each of ``t`` ticks.

    Attributes:
        gram: ``(t, n_src, n_src)`` of the estimates with each other.
        cross: ``(t, n_src)`` with the mixture.
        energy: ``(t,)`` of the mixture.
    """

    gram: np.ndarray
    cross: np.ndarray
    energy: np.ndarray

    def fit(self, start: int, stop: int) -> np.ndarray:
        """The estimates' factors within some ticks, ``(n_src,)``."""
        return find_factors(
            self.gram[start:stop].sum(axis=0),
            self.cross[start:stop].sum(axis=0),
            float(self.energy[start:stop].sum()),
        )


def measure_products(stored: StoredEstimates) -> Products:
    """One pass over stored estimates."""
    tick = round(TICK_S * stored.rate)
    grams, crosses, energies = [], [], []
    for mixture, estimates in stored.read_blocks(BLOCK_TICKS * tick):
        signals = np.concatenate([mixture[None], estimates]).astype(np.float64)
        signals = np.pad(signals, ((0, 0), (0, -signals.shape[1] % tick)))
        framed = signals.reshape(len(signals), -1, tick).transpose(1, 0, 2)
        products = framed @ framed.transpose(0, 2, 1)
        grams.append(products[:, 1:, 1:])
        crosses.append(products[:, 1:, 0])
        energies.append(products[:, 0, 0])
    return Products(
        gram=np.concatenate(grams), cross=np.concatenate(crosses), energy=np.concatenate(energies)
    )


@dataclass(frozen=True, kw_only=True)
class Mixdown:
    """Tracks as sums of recording and estimates whose gains change from tick to tick.

    Attributes:
        stored: recording and estimates.
        gains: ``(t, n_src, 1 + n_src)``, of each track: of the recording, then of the estimates.
    """

    stored: StoredEstimates
    gains: np.ndarray

    @property
    def n_src(self) -> int:
        """Number of tracks."""
        return self.gains.shape[1]

    @property
    def rate(self) -> int:
        """Hz, of the tracks."""
        return self.stored.rate

    def read_blocks(self, n_samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Mixture ``(time,)`` and tracks ``(n_src, time)``, some samples at a time."""
        start = 0
        for mixture, estimates in self.stored.read_blocks(n_samples):
            yield mixture, self._mix(start, np.concatenate([mixture[None], estimates]))
            start += len(mixture)

    def _mix(self, start: int, signals: np.ndarray) -> np.ndarray:
        """Tracks ``(n_src, time)`` of recording and estimates ``(1 + n_src, time)``.

        At the beginning of each tick its gains fade in from those of the tick before.

        Args:
            start: first sample.
            signals: from there on.
        """
        tick, fade = round(TICK_S * self.rate), round(FADE_S * self.rate)
        n_before, n_samples = start % tick, signals.shape[1]
        padded = np.pad(signals, ((0, 0), (n_before, -(n_before + n_samples) % tick)))
        framed = padded.reshape(len(padded), -1, tick).transpose(1, 0, 2)
        places = start // tick + np.arange(len(framed))
        now = np.minimum(places, len(self.gains) - 1)
        gains = self.gains.astype(np.float32)
        tracks = gains[now] @ framed
        # of the last tick's gains, which go on behind it, there is nothing to fade
        missing = (gains[np.maximum(now - 1, 0)] - gains[now]) * (places == now)[:, None, None]
        share = (1 - np.arange(fade) / fade).astype(np.float32)
        tracks[:, :, :fade] += missing @ framed[:, :, :fade] * share
        flat = tracks.transpose(1, 0, 2).reshape(self.n_src, -1)
        return flat[:, n_before : n_before + n_samples]


def make_gains(
    turns: Turns,
    stretches: list[tuple[int, int]],
    straight: np.ndarray,
    products: Products,
) -> np.ndarray:
    """Gains of two tracks, see :class:`Mixdown`.

    Where it is not sure who speaks, or which output has which voice, the gains are the
    probabilities: that errs less than a choice does.

    Args:
        turns: who speaks when.
        stretches: in which both do.
        straight: ``(n_stretches,)``, probability that the first output has the first voice.
        products: of the estimates.
    """
    n_ticks = len(products.energy)
    voices = sharpen(extend_speech(turns.states))[:n_ticks]
    voices /= np.maximum(voices.sum(axis=1, keepdims=True), 1e-6)
    both = np.zeros(n_ticks)
    gains = np.zeros((n_ticks, 2, 3))
    for (start, stop), order in zip(stretches, sharpen(straight), strict=True):
        part = slice(start, min(stop, n_ticks))
        first, second = products.fit(part.start, part.stop)
        both[part] = np.maximum(voices[part, 2], SEPARATED)
        same, other = both[part] * order, both[part] * (1 - order)
        gains[part, 0, 1], gains[part, 0, 2] = same * first, other * second
        gains[part, 1, 1], gains[part, 1, 2] = other * first, same * second
    unseparated = np.where(both > 0, 0, voices[:, 2])
    alone = voices[:, :2] + unseparated[:, None] / 2
    gains[:, :, 0] = alone * ((1 - both) / np.maximum(alone.sum(axis=1), 1e-6))[:, None]
    return gains


def sharpen(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities of which those near 0 and 1 are certain.

    >>> sharpen(np.array([0.05, 0.5, 0.98])).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.clip((probabilities - CERTAIN) / (1 - 2 * CERTAIN), 0, 1)


def decide_speech(turns: Turns) -> np.ndarray:
    """Whether a voice speaks, bool ``(t, 2)``."""
    return turns.voices >= 0.5


def extend_speech(states: np.ndarray) -> np.ndarray:
    """Probabilities of the first voice alone, the second, both, ``(t, 3)``, where any speaks.

    Pauses go to whoever speaks nearest: a voice keeps the room's noise between its words.
    """
    speaking = states[:, FIRST:] / np.maximum(states[:, FIRST:].sum(axis=1, keepdims=True), 1e-6)
    voiced = np.flatnonzero(states[:, NEITHER] < 0.5)
    if not len(voiced):
        return speaking
    ticks = np.arange(len(states))
    after = np.clip(np.searchsorted(voiced, ticks), 0, len(voiced) - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(voiced[after] - ticks) <= np.abs(ticks - voiced[before])
    return speaking[np.where(closer, voiced[after], voiced[before])]


def find_unsure_seconds(
    turns: Turns, stretches: list[tuple[int, int]], straight: np.ndarray, least: float = UNSURE
) -> list[float]:
    """Seconds in which it is not clear whose voice is whose.

    Args:
        turns: who speaks when.
        stretches, straight: as of :func:`make_gains`.
        least: mean certainty of a second below which it is listed.
    """
    certain = np.abs(turns.states[:, FIRST] - turns.states[:, SECOND])
    certain /= np.maximum(turns.states[:, FIRST:].sum(axis=1), 1e-6)
    for (start, stop), order in zip(stretches, straight, strict=True):
        certain[start:stop] = abs(2 * order - 1)
    voiced = turns.states[:, NEITHER] < 0.5
    per_second = round(1 / TICK_S)
    seconds = []
    for second in range(-(-len(certain) // per_second)):
        part = slice(second * per_second, (second + 1) * per_second)
        if voiced[part].sum() >= 3 and certain[part][voiced[part]].mean() < least:
            seconds.append(float(second))
    return seconds
