"""Long recordings cut at their pauses, so that a mixture is no longer than an utterance may be."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from separation.audio.files import read_mono
from separation.audio.loudness import measure_loudness_lufs
from separation.corpora.table import SILENCE_PEAK, Utterance
from separation.jobs import run_jobs

FRAME_S = 0.02
PAUSE_FRAMES = 15  # over which a pause is looked for: 0.3 s
ACTIVE_BELOW_PEAK_DB = 35.0  # frames above this are speech
LEAST_ACTIVE_SHARE = 0.2  # of a piece; others are pauses


@dataclass(frozen=True, kw_only=True)
class UtterancePiece(Utterance):
    """A piece of a recording that stands for an utterance: ``n_samples`` from ``start`` on."""

    start: int = 0


def cut_long_utterances(
    utterances: Sequence[Utterance], root: Path, longest_s: float, n_jobs: int
) -> dict[str, list[UtterancePiece]]:
    """Pieces of at most ``longest_s`` of each utterance, by its path; ``root`` is that of paths."""
    work = partial(_cut_one, root=root, longest_s=longest_s)
    n_all = len(utterances)
    results = run_jobs(work, utterances, n_jobs, total=n_all, label="cut", unit="file")
    return dict(zip((row.path for row in utterances), results, strict=True))


def _cut_one(row: Utterance, root: Path, longest_s: float) -> list[UtterancePiece]:
    samples, sample_rate = read_mono(root / row.path, row.channel)
    places = find_pieces(samples, sample_rate, longest_s)
    return [_measure(row, samples[a:b], a) for a, b in places]


def _measure(row: Utterance, samples: np.ndarray, start: int) -> UtterancePiece:
    loudness = measure_loudness_lufs(samples, row.sample_rate)
    values = dataclasses.asdict(row) | {
        "utterance": f"{row.utterance}@{start}",
        "n_samples": len(samples),
        "loudness_lufs": round(loudness, 2) if math.isfinite(loudness) else -70.0,
        "peak": round(float(np.abs(samples).max()), 4),
        "start": start,
    }
    return UtterancePiece(**values)


def find_pieces(samples: np.ndarray, sample_rate: int, longest_s: float) -> list[tuple[int, int]]:
    """First sample and end of pieces of at most ``longest_s``, those without speech left out.

    A piece ends where it is quietest, over 0.3 s, in the second half of what it may take.

    Args:
        samples: ``(time,)``.
        sample_rate: Hz.
        longest_s: of a piece.
    """
    hop = round(FRAME_S * sample_rate)
    powers = _measure_frames(samples, hop)
    active = powers > powers.max(initial=0.0) * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)
    smooth = np.convolve(powers, np.ones(PAUSE_FRAMES) / PAUSE_FRAMES, mode="same")
    n_longest, edges = max(2, int(longest_s / FRAME_S)), [0]
    while len(powers) - edges[-1] > n_longest:
        first = edges[-1] + n_longest // 2
        edges.append(first + int(smooth[first : edges[-1] + n_longest].argmin()))
    edges.append(len(powers))
    pieces = []
    for a, b in itertools.pairwise(edges):
        piece = samples[a * hop : b * hop]
        if active[a:b].mean() >= LEAST_ACTIVE_SHARE and np.abs(piece).max() >= SILENCE_PEAK:
            pieces.append((a * hop, a * hop + len(piece)))
    return pieces


def _measure_frames(samples: np.ndarray, hop: int) -> np.ndarray:
    """Mean power of each frame of ``hop`` samples."""
    n_frames = len(samples) // hop
    frames = samples[: n_frames * hop].reshape(n_frames, hop)
    return np.mean(np.square(frames, dtype=np.float64), axis=1)
