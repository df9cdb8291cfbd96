"""Long signals through a model in chunks, whose voices are put in one order by their overlap."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

CHUNK_S, OVERLAP_S = 30.0, 5.0
# What is longer is scored in chunks: whole, it costs the larger models 1.5 GB a minute and more.
# Shorter mixtures, those of every published set, are separated whole, so their scores stay.
LONGEST_WHOLE_S = 300.0


@dataclass(kw_only=True)
class Joiner:
    """Puts the voices of each chunk into the order of the one before, by their overlap.

    Attributes:
        overlap: samples.
        tail: ``(n_src, overlap)``, the end of the last chunk; None before the first.
        leads: of each join, how far the best order was ahead of the second best, from 0 (it was
            arbitrary, as where nobody speaks in the overlap) to 1.
    """

    overlap: int
    tail: np.ndarray | None = None
    leads: list[float] = field(default_factory=list)

    def add(self, piece: np.ndarray, *, is_last: bool) -> np.ndarray:
        """The next samples ``(n_src, time)`` of all voices, cross-faded where chunks overlap."""
        if self.tail is not None:
            order, lead = find_order(self.tail, piece[:, : self.overlap])
            self.leads.append(lead)
            piece = piece[order].copy()
            fade = np.linspace(0, 1, self.overlap, dtype=np.float32)
            piece[:, : self.overlap] = self.tail * (1 - fade) + piece[:, : self.overlap] * fade
        if is_last:
            self.tail = None
            return piece
        self.tail = piece[:, -self.overlap :].copy()
        return piece[:, : -self.overlap]


def find_order(tail: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, float]:
    """Order of ``head``'s voices that fits ``tail`` best, and its lead over the second best.

    The lead is that of inner products, as a share of what voices alike to the last sample would
    have in the best order; 1 at most.

    Args:
        tail: ``(n_src, time)``.
        head: the same samples, as the next chunk has them.
    """
    products = tail.astype(np.float64) @ head.T.astype(np.float64)
    orders = list(itertools.permutations(range(len(tail))))
    rows = range(len(tail))
    fits = sorted(
        ((products[rows, order].sum(), order) for order in orders), key=lambda fit: -fit[0]
    )
    best = np.array(fits[0][1])
    norms = np.linalg.norm(tail, axis=1), np.linalg.norm(head, axis=1)
    energy = float(norms[0] @ norms[1][best])
    second = fits[1][0] if len(fits) > 1 else fits[0][0] - energy
    lead = (fits[0][0] - second) / energy if energy > 0 else 0.0
    return best, min(1.0, float(lead))


def list_starts(n_samples: int, size: int, overlap: int) -> list[int]:
    """First samples of the chunks of a signal."""
    return list(range(0, max(1, n_samples - overlap), size - overlap))


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
    starts = list_starts(len(samples), n_chunk, n_overlap)
    if len(starts) == 1:
        return separate(samples)
    joiner = Joiner(overlap=n_overlap)
    joined: np.ndarray | None = None
    for start in show(starts):
        piece = separate(samples[start : start + n_chunk])
        if joined is None:
            joined = np.empty((len(piece), len(samples)), np.float32)
        block = joiner.add(piece, is_last=start == starts[-1])
        joined[:, start : start + block.shape[1]] = block
    assert joined is not None
    return joined
