"""The signals of a mixture: mixture, sources and noise, and their SNRs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

SNR_FLOOR = 1e-10


@dataclass(frozen=True)
class Mixture:
    """A rendered mixture, with the samples that a 16-bit WAV file of it holds.

    Attributes:
        row: the row of the mixture table it was made from.
        mixture: float32 ``(time,)``.
        sources: float32 ``(n_src, time)``; their sum may differ from the mixture by
            ``n_src - 1`` steps of 16 bits, as in the published sets.
    """

    row: dict[str, str]
    mixture: np.ndarray
    sources: np.ndarray

    @property
    def mixture_id(self) -> str:
        return self.row["mixture_ID"]


@dataclass
class Rendered:
    """What one row becomes at one rate and in one mode.

    Attributes:
        signals: int16 ``(time,)`` by folder name: ``s1``, ``s2``, ``noise``, ``mix_clean``, ...
        snrs_db: by mixture type, each part of it against the rest; where asked for.
    """

    signals: dict[str, np.ndarray]
    snrs_db: dict[str, list[float]] = field(default_factory=dict)


def name_sources(n_src: int) -> list[str]:
    """LibriMix's folder names: ``s1``, ``s2``, ..."""
    return [f"s{number}" for number in range(1, n_src + 1)]


def list_signals(n_src: int, types: Sequence[str]) -> list[str]:
    """Folders of a tree with these mixture types, as the official script makes them."""
    noise = ["noise"] if set(types) - {"mix_clean", "mix"} else []
    return [*name_sources(n_src), *types, *noise]


def measure_snrs(
    parts: list[np.ndarray], n_src: int, types: Sequence[str]
) -> dict[str, list[float]]:
    """LibriMix's metrics: each part of a mixture against the rest of it, in dB.

    From one Gram matrix: the rest's energy is the sum of its inner products.
    """
    stacked = np.stack(parts).astype(np.float32, copy=False)
    gram = (stacked @ stacked.T).astype(np.float64) / stacked.shape[1]
    members = {
        "mix_clean": list(range(n_src)),
        "mix_both": list(range(len(parts))),
        "mix_single": [0, len(parts) - 1],
    }
    snrs = {}
    for kind in types:
        chosen = members[kind]
        rests = [[other for other in chosen if other != part] for part in chosen]
        energies = [max(0.0, gram[np.ix_(rest, rest)].sum()) for rest in rests]
        snrs[kind] = [
            float(10 * np.log10(gram[part, part] / (energy + SNR_FLOOR) + SNR_FLOOR))
            for part, energy in zip(chosen, energies, strict=True)
        ]
    return snrs
