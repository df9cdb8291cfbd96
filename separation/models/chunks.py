"""Long signals through a model in chunks, whose voices are put in one order by their overlap."""

from collections.abc import Callable, Iterable

import numpy as np

CHUNK_S, OVERLAP_S = 30.0, 5.0
# What is longer is scored in chunks: whole, it costs the larger models 1.5 GB a minute and more.
# Shorter mixtures, those of every published set, are separated whole, so their scores stay.
LONGEST_WHOLE_S = 300.0


def separate_in_chunks(
    separate: Callable[[np.ndarray], np.ndarray],
    samples: np.ndarray,
    n_chunk: int,
    n_overlap: int,
    show: Callable[[list[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """Separate ``(time,)`` chunk by chunk; returns float32 ``(n_src, time)``.

    Args:
        separate: ``(time,)`` to ``(n_src, time)``.
        samples: the signal.
        n_chunk, n_overlap: samples of a chunk, and that two neighbours share.
        show: wraps the chunks' starts, such as in a progress bar.
    """
    starts = list(range(0, max(1, len(samples) - n_overlap), n_chunk - n_overlap))
    if len(starts) == 1:
        return separate(samples)
    joined: np.ndarray | None = None
    for start in show(starts):
        piece = separate(samples[start : start + n_chunk])
        if joined is None:
            joined = np.empty((len(piece), len(samples)), np.float32)
            joined[:, : piece.shape[1]] = piece
        else:
            _join(joined, piece, start, n_overlap)
    assert joined is not None
    return joined


def _join(joined: np.ndarray, piece: np.ndarray, start: int, n_overlap: int) -> None:
    """Put a chunk's voices in the order that fits the overlap best, cross-faded."""
    from scipy.optimize import linear_sum_assignment

    tail, head = joined[:, start : start + n_overlap], piece[:, :n_overlap]
    order = linear_sum_assignment(tail @ head.T, maximize=True)[1]
    piece = piece[order]
    fade = np.linspace(0, 1, n_overlap, dtype=np.float32)
    end = start + piece.shape[1]
    joined[:, start : start + n_overlap] = tail * (1 - fade) + piece[:, :n_overlap] * fade
    joined[:, start + n_overlap : end] = piece[:, n_overlap:]
