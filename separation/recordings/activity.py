"""Who speaks when, from the levels of the voices, and what in them looks wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from separation.models.chunks import CHUNK_S, OVERLAP_S
from separation.models.inference import find_factors
from separation.recordings.chunks import UNSURE

FRAME_S = 0.02
FRAMES_AT_ONCE = 6000
BELOW_LOUD_DB = 35.0  # speech is within this of the recording's loud frames
BELOW_LOUDEST_DB = 12.0  # a voice this far below the loudest one of a frame is its leak
LONGEST_GAP_S, SHORTEST_S = 0.3, 0.2
FLOOR = 1e-12


class Blocks(Protocol):
    """Signals that are read in blocks."""

    @property
    def n_src(self) -> int: ...

    @property
    def rate(self) -> int: ...

    def read_blocks(self, n_samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]: ...


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Stored estimates as they are, in one pass.

    Attributes:
        factors: ``(n_src,)``, see :func:`~separation.models.inference.find_factors`.
        correlations: ``(n_src, n_src)`` of the voices.
        powers: ``(n_frames, n_src)``, mean squares of frames of 20 ms, at the factors' level.
        mixture_powers: ``(n_frames,)``.
        explained: share of the mixture's energy that the voices' sum explains.
    """

    factors: np.ndarray
    correlations: np.ndarray
    powers: np.ndarray
    mixture_powers: np.ndarray
    explained: float


def survey(stored: Blocks, factors: np.ndarray | None = None) -> Survey:
    """Measure levels, correlations and the energies of frames.

    Args:
        stored: estimates, or tracks made of them.
        factors: that are known; None: those that fit the mixture best.
    """
    frame = round(FRAME_S * stored.rate)
    gram, products, energy = np.zeros((stored.n_src, stored.n_src)), np.zeros(stored.n_src), 0.0
    powers, mixture_powers = [], []
    for mixture, estimates in stored.read_blocks(FRAMES_AT_ONCE * frame):
        wide, mixture = estimates.astype(np.float64), mixture.astype(np.float64)
        gram += wide @ wide.T
        products += wide @ mixture
        energy += float(mixture @ mixture)
        powers.append(_measure_frames(wide, frame))
        mixture_powers.append(_measure_frames(mixture[None], frame)[:, 0])
    if factors is None:
        factors = find_factors(gram, products, energy)
    rest = energy - 2 * factors @ products + factors @ gram @ factors
    sizes = np.sqrt(np.maximum(np.diag(gram), np.finfo(np.float64).tiny))
    return Survey(
        factors=factors,
        correlations=gram / np.outer(sizes, sizes),
        powers=np.concatenate(powers) * factors**2,
        mixture_powers=np.concatenate(mixture_powers),
        explained=float(1 - rest / max(energy, FLOOR)),
    )


def _measure_frames(signals: np.ndarray, frame: int) -> np.ndarray:
    """Mean squares ``(n_frames, n_signals)`` of ``(n_signals, time)``; the last frame is padded."""
    shortage = -signals.shape[1] % frame
    padded = np.pad(signals, ((0, 0), (0, shortage)))
    return np.square(padded).reshape(len(signals), -1, frame).mean(axis=2).T


def to_db(power: np.ndarray | float) -> np.ndarray:
    """10 log10 of a power, full scale at 1; not below -120."""
    return 10 * np.log10(np.maximum(power, FLOOR))


def find_speech(measured: Survey) -> np.ndarray:
    """Whether a voice speaks in a frame, bool ``(n_frames, n_src)``.

    It does where it is within 35 dB of the recording's loud frames (95th percentile) and within
    12 dB of the loudest voice; gaps below 0.3 s are closed, and what is left below 0.2 s dropped.
    """
    levels = to_db(measured.powers)
    loud = float(np.percentile(to_db(measured.mixture_powers), 95))
    active = levels >= max(loud - BELOW_LOUD_DB, -90.0)
    active &= levels >= levels.max(axis=1, keepdims=True) - BELOW_LOUDEST_DB
    for voice in active.T:
        _smooth(voice)
    return active


def _smooth(active: np.ndarray) -> None:
    """Close short gaps and drop short bursts, in place."""
    for value, longest_s in ((False, LONGEST_GAP_S), (True, SHORTEST_S)):
        for start, stop in find_runs(active == value):
            inside = start > 0 and stop < len(active)
            if (stop - start) * FRAME_S < longest_s and (inside or value):
                active[start:stop] = not value


def find_runs(active: np.ndarray) -> list[tuple[int, int]]:
    """First frame, and first frame after it, of each run of true ones.

    >>> find_runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def format_rttm(name: str, speech: np.ndarray) -> str:
    """NIST's RTTM: a line for each stretch of a voice, ``s1``, ``s2``, ..., in seconds.

    >>> print(format_rttm("my call", np.ones((50, 1), bool)), end="")
    SPEAKER my_call 1 0.000 1.000 <NA> <NA> s1 <NA> <NA>
    """
    runs = [
        (start * FRAME_S, (stop - start) * FRAME_S, number)
        for number, voice in enumerate(speech.T, 1)
        for start, stop in find_runs(voice)
    ]
    file = "_".join(name.split())
    return "".join(
        f"SPEAKER {file} 1 {start:.3f} {length:.3f} <NA> <NA> s{number} <NA> <NA>\n"
        for start, length, number in sorted(runs)
    )


def find_suspected_swaps(leads: list[float]) -> list[float]:
    """Seconds around which the order of the voices was not clear from the overlap of chunks."""
    middles = ((k + 1) * (CHUNK_S - OVERLAP_S) + OVERLAP_S / 2 for k in range(len(leads)))
    return [second for second, lead in zip(middles, leads, strict=True) if lead < UNSURE]
