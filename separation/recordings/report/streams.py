"""What windows and ticks of the tracks say: whose voice is in them, and how loud."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separation.recordings.evidence import SPAN_S
from separation.recordings.report.signals import measure_levels
from separation.recordings.speech_networks import RATE, TICK_S, WINDOW_S, SpeakerEncoder
from separation.recordings.turns import Projection

HOP_S = 0.4  # between windows
SPOKEN = 0.4  # share of a window that is not silent, from which on it is embedded
BELOW_LOUD_DB = 30.0  # below the recording's loud ticks a track is silent


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Tracks of a recording with ``t`` ticks of 0.1 s and ``n`` windows of 1.6 s.

    Attributes:
        starts_s: ``(n,)``, of the windows in which somebody speaks.
        points: ``(n_src, n, d)``, embeddings of the tracks, projected: unit vectors.
        mixture: ``(n, d)``, of the recording.
        spoken: ``(n_src, n)``, share of a window in which the track is not silent.
        active: bool ``(t, n_src)``, whether it is not silent.
        levels: ``(t, n_src)``, dB below full scale.
        mixture_levels: ``(t,)``.
        gram: ``(t, n_src, n_src)``, inner products of the tracks.
    """

    starts_s: np.ndarray
    points: np.ndarray
    mixture: np.ndarray
    spoken: np.ndarray
    active: np.ndarray
    levels: np.ndarray
    mixture_levels: np.ndarray
    gram: np.ndarray

    @property
    def n_src(self) -> int:
        """Number of tracks."""
        return self.levels.shape[1]

    @property
    def leads_db(self) -> np.ndarray:
        """Of each window, by how much the first track is louder than the second, ``(n,)``."""
        powers = 10 ** (self.levels / 10)
        means = average_windows(powers, self.starts_s)
        return 10 * np.log10((means[0] + 1e-12) / (means[-1] + 1e-12))


def describe_streams(
    recording: np.ndarray,
    tracks: Sequence[np.ndarray],
    speech: np.ndarray,
    encoder: SpeakerEncoder | None,
    project: Projection,
) -> Streams:
    """Measure the tracks of a recording; without an encoder there are no windows.

    Args:
        recording: ``(time,)`` at 16 kHz.
        tracks: as long.
        speech: ``(t,)``, probability of speech in ticks.
        encoder: of voices.
        project: of its embeddings.
    """
    levels = np.stack([measure_levels(track) for track in tracks], axis=1)
    mixture_levels = measure_levels(recording)
    loud = float(np.percentile(mixture_levels, 95))
    heard = np.interp(np.arange(len(levels)), np.arange(len(speech)), speech) > 0.5
    active = (levels > loud - BELOW_LOUD_DB) & heard[:, None]
    starts = np.arange(0, max(len(recording) / RATE - WINDOW_S / 2, HOP_S), HOP_S)
    starts = np.round(starts / TICK_S) * TICK_S
    spoken = average_windows(active.astype(float), starts)
    chosen = (spoken >= SPOKEN).any(axis=0) & (encoder is not None)
    starts, spoken = starts[chosen], spoken[:, chosen]
    embedded = [
        project(_embed(signal, starts, encoder)) if encoder else np.empty((0, 1))
        for signal in [recording, *tracks]
    ]
    return Streams(
        starts_s=starts,
        points=np.stack(embedded[1:]),
        mixture=embedded[0],
        spoken=spoken,
        active=active,
        levels=levels,
        mixture_levels=mixture_levels,
        gram=measure_gram(tracks, len(levels)),
    )


def _embed(signal: np.ndarray, starts_s: np.ndarray, encoder: SpeakerEncoder) -> np.ndarray:
    """Embeddings ``(n, 256)`` of windows of a signal of any length."""
    found = [np.empty((0, 256), np.float32)]
    for first_s in np.arange(0, len(signal) / RATE, SPAN_S):
        inside = starts_s[(starts_s >= first_s - 1e-6) & (starts_s < first_s + SPAN_S - 1e-6)]
        first = round(first_s * RATE)
        part = signal[first : first + round((SPAN_S + WINDOW_S) * RATE)]
        places = np.round((inside - first_s) * RATE).astype(int)
        found.append(encoder.embed(np.array(part), places))
    return np.concatenate(found)


def average_windows(ticks: np.ndarray, starts_s: np.ndarray) -> np.ndarray:
    """Means of ticks ``(t, n_src)`` over windows of 1.6 s, ``(n_src, n)``."""
    width = round(WINDOW_S / TICK_S)
    sums = np.concatenate([np.zeros((1, ticks.shape[1])), np.cumsum(ticks, axis=0)])
    begin = np.round(np.asarray(starts_s) / TICK_S).astype(int)
    return ((sums[np.minimum(begin + width, len(ticks))] - sums[begin]) / width).T


def measure_gram(tracks: Sequence[np.ndarray], n_ticks: int) -> np.ndarray:
    """Inner products of the tracks in each tick, ``(n_ticks, n_src, n_src)``."""
    tick = round(TICK_S * RATE)
    grams = np.zeros((n_ticks, len(tracks), len(tracks)))
    for first in range(0, n_ticks, 600):
        part = slice(first * tick, (first + 600) * tick)
        signals = np.stack([np.asarray(track[part], np.float64) for track in tracks])
        padded = np.pad(signals, ((0, 0), (0, -signals.shape[1] % tick)))
        framed = padded.reshape(len(tracks), -1, tick).transpose(1, 0, 2)
        grams[first : first + len(framed)] = framed @ framed.transpose(0, 2, 1)
    return grams
