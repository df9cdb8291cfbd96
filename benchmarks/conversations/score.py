"""Tracks of a conversation against its speakers: seconds in the wrong track, and SI-SDR."""

import itertools
from dataclasses import dataclass

import numpy as np

ACTIVE_DB = 30.0  # a speaker is heard in a window within this of their mean level
THROUGHOUT = 0.03  # share of wrong windows up to which each speaker is in one track


@dataclass(frozen=True, kw_only=True)
class TrackScore:
    """One conversation.

    Attributes:
        wrong: share of the 1-s windows with speech that fit the tracks better the other way round.
        wrong_s: their first seconds.
        si_sdr: dB, of each speaker's track over the whole file.
        order: the track of each speaker, of the fewest wrong windows.
    """

    wrong: float
    wrong_s: tuple[int, ...]
    si_sdr: tuple[float, ...]
    order: tuple[int, ...]

    @property
    def is_throughout(self) -> bool:
        """Whether each speaker is in one track throughout."""
        return self.wrong <= THROUGHOUT


def score_tracks(sources: np.ndarray, tracks: np.ndarray, rate: int) -> TrackScore:
    """Score ``(n_src, time)`` tracks against as many sources.

    In a window the speakers are in the order whose inner products with the tracks are largest; it
    is wrong where that is another than the file's.

    Args:
        sources, tracks: of the same length, in any order.
        rate: Hz.
    """
    orders = list(itertools.permutations(range(len(sources))))
    n_windows = sources.shape[1] // rate
    framed = [x[:, : n_windows * rate].reshape(len(x), n_windows, rate) for x in (sources, tracks)]
    products = np.einsum("snt,knt->nsk", framed[0], framed[1]).astype(np.float64)
    powers = np.square(framed[0]).mean(axis=2)
    levels = np.square(sources).sum(axis=1) / np.maximum(1, (np.abs(sources) > 1e-4).sum(axis=1))
    heard = (powers > 10 ** (-ACTIVE_DB / 10) * levels[:, None]).any(axis=0)
    rows = range(len(sources))
    fits = np.stack([products[:, rows, order].sum(axis=1) for order in orders], axis=1)
    best = fits.max(axis=1, keepdims=True)
    wrong = (fits < best - 1e-9 * np.abs(best)) & heard[:, None]
    place = int(wrong.sum(axis=0).argmin())
    return TrackScore(
        wrong=float(wrong[:, place].sum() / max(1, heard.sum())),
        wrong_s=tuple(int(k) for k in np.flatnonzero(wrong[:, place])),
        si_sdr=tuple(
            measure_si_sdr(s, tracks[k]) for s, k in zip(sources, orders[place], strict=True)
        ),
        order=orders[place],
    )


def measure_si_sdr(source: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant SDR in dB, signals of zero mean; Le Roux et al. 2019, equation 3."""
    source = source.astype(np.float64) - source.mean(dtype=np.float64)
    estimate = estimate.astype(np.float64) - estimate.mean(dtype=np.float64)
    target = source * (estimate @ source) / max(source @ source, 1e-12)
    rest = estimate - target
    return float(10 * np.log10(max(target @ target, 1e-12) / max(rest @ rest, 1e-12)))
