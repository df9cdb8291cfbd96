"""Rendering: one row of a mixture table -> its samples. The only place that mixes fixed sets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separation.audio import read_mono, resample
from separation.errors import UserError


@dataclass(frozen=True)
class Mixture:
    """A rendered mixture.

    Attributes:
        row: the row of the mixture table it was made from.
        mixture: float32 ``(time,)``, the sum of the sources.
        sources: float32 ``(n_src, time)``.
    """

    row: dict[str, str]
    mixture: np.ndarray
    sources: np.ndarray

    @property
    def mixture_id(self) -> str:
        return self.row["mixture_ID"]


def count_sources(row: dict[str, str]) -> int:
    """Number of sources of a row in LibriMix's columns."""
    return sum(key.startswith("source_") and key.endswith("_path") for key in row)


def render_row(row: dict[str, str], root: Path, sample_rate: int) -> Mixture:
    """Render one mixture in ``min`` mode, in LibriMix's order of operations.

    Each source is read at its own rate, multiplied by the row's gain, resampled, and cut to
    the shortest; the mixture is the sum (LibriMix ``create_librimix_from_metadata.py``).

    Args:
        row: ``source_i_path`` (relative to ``root``), ``source_i_gain``.
        root: the corpus root.
        sample_rate: of the result, in Hz.

    Raises:
        MissingInputError, UserError: a source that is absent or cannot be read.
    """
    sources = []
    for number in range(1, count_sources(row) + 1):
        channel = row.get(f"source_{number}_channel") or "mono"
        samples, rate = read_mono(root / row[f"source_{number}_path"], channel)
        # float(), not np.float64: that would promote the samples and change bits
        samples = samples * float(row[f"source_{number}_gain"])
        sources.append(resample(samples, rate, sample_rate))
    n_samples = min(map(len, sources))
    stacked = np.stack([source[:n_samples] for source in sources]).astype(np.float32)
    if not stacked.any(axis=1).all():
        raise UserError(f"mixture {row['mixture_ID']}: a source is silent; draw again (stage 2).")
    return Mixture(row, stacked.sum(axis=0), stacked)
