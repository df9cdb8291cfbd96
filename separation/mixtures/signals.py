"""The signals of a mixture: mixture, sources and noise; their names in a tree, and their SNRs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from separation.audio.resample import resample
from separation.mixtures.table import MixtureRow

SNR_FLOOR = 1e-10


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """One mixture and what it consists of, with the samples that 16-bit WAV files of it hold.

    Attributes:
        row: what it was rendered or read from.
        sample_rate: Hz.
        mixture: float32 ``(time,)``.
        sources: float32 ``(n_src, time)``; with the noise their sum may differ from the mixture by
            a step of 16 bits a part, as in the published sets.
        noise: float32 ``(time,)``; None where there is none, or nobody asked for it.
    """

    row: MixtureRow
    sample_rate: int
    mixture: np.ndarray
    sources: np.ndarray
    noise: np.ndarray | None = None

    @property
    def mixture_id(self) -> str:
        return self.row.mixture_id

    def parts(self) -> dict[str, np.ndarray]:
        """Everything the mixture is the sum of, by LibriMix's names."""
        named = dict(zip(name_sources(len(self.sources)), self.sources, strict=True))
        return named if self.noise is None else named | {"noise": self.noise}

    def signals(self) -> dict[str, np.ndarray]:
        """The mixture, then its parts."""
        return {"mixture": self.mixture} | self.parts()

    def at_rate(self, sample_rate: int) -> "Mixture":
        """Mixture and sources alike resampled to a rate in Hz."""
        if sample_rate == self.sample_rate:
            return self
        rates = (self.sample_rate, sample_rate)
        return dataclasses.replace(
            self,
            sample_rate=sample_rate,
            mixture=resample(self.mixture, *rates),
            sources=np.stack([resample(source, *rates) for source in self.sources]),
            noise=None if self.noise is None else resample(self.noise, *rates),
        )


@dataclass
class Rendered:
    """All that one row becomes at one rate and in one mode, as a tree of WAV files holds it.

    Several types of mixture share their sources here; :class:`Mixture` is one of them.

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
