"""A conversation whose speakers are known, and what each tick of it really is."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.conversations.draw import Conversation
from benchmarks.conversations.speech import RATE
from separation.audio.resample import resample
from separation.recordings.arrangement import Arrangement, plan_by_evidence, separate_planned
from separation.recordings.chunks import StoredEstimates
from separation.recordings.evidence import Evidence, gather_evidence
from separation.recordings.speech_networks import TICK_S, load_detector, load_encoder

CPU = torch.device("cpu")
ACTIVE_DB = 25.0  # below a speaker's mean level
LONGEST_GAP = 3  # ticks


@dataclass(frozen=True, kw_only=True)
class Case:
    """A conversation on disk.

    Attributes:
        names: of the speakers.
        sources: float32 ``(n_speakers, time)`` at the model's rate.
        evidence: of the voices.
        overlapped: share of the speech.
        folder: of the mixture, and of estimates.
        rate: Hz, of the model.
    """

    names: tuple[str, ...]
    sources: np.ndarray
    evidence: Evidence
    overlapped: float
    folder: Path
    rate: int

    @property
    def mixture(self) -> np.ndarray:
        """``(time,)``."""
        return np.fromfile(self.folder / "mixture.f32", np.float32)

    def store(self, name: str) -> StoredEstimates:
        """Where the estimates of some way go, or are."""
        return StoredEstimates(
            mixture=self.folder / "mixture.f32",
            estimates=self.folder / f"{name}.f32",
            state=self.folder / f"{name}.npz",
            rate=self.rate,
        )

    def arrange(
        self, stored: StoredEstimates, model: nn.Module, *, adapt: bool = False
    ) -> Arrangement:
        """The tracks that ``separate`` makes."""
        plan = plan_by_evidence(self.evidence, "auto")
        return separate_planned(stored, plan, model, CPU, self.folder.name, adapt=adapt)


def prepare_case(
    conversation: Conversation, rate: int, folder: Path, *, is_narrow: bool = False
) -> Case:
    """Write a conversation, and listen to it, or read what the folder holds of that.

    Args:
        conversation: at 16 kHz.
        rate: Hz, of the model.
        folder: that keeps it.
        is_narrow: whether only what is left at the model's rate is listened to.
    """
    sources = resample(conversation.sources, RATE, rate).astype(np.float32)
    kept, wide = folder / "evidence.npz", folder / "wide.f32"
    folder.mkdir(parents=True, exist_ok=True)
    if not kept.is_file():
        sources.sum(axis=0).tofile(folder / "mixture.f32")
        heard = conversation.mixture
        if is_narrow:
            heard = resample(sources.sum(axis=0), rate, RATE)
        heard.astype(np.float32).tofile(wide)
        encoder, detector = load_encoder(), load_detector()
        assert encoder and detector, "pip install --no-deps -r requirements-voices.txt"
        found = gather_evidence(wide, encoder, detector)
        wide.unlink()
        np.savez(kept, speech=found.speech, spectra=found.spectra, embeddings=found.embeddings)
    with np.load(kept) as saved:
        evidence = Evidence(**{name: saved[name] for name in saved.files})
    return Case(
        names=conversation.names,
        sources=sources,
        evidence=evidence,
        overlapped=conversation.overlapped,
        folder=folder,
        rate=rate,
    )


@dataclass(kw_only=True)
class OracleEstimates(StoredEstimates):
    """A separator whose outputs are the sources, in another order at each call.

    Attributes:
        sources: ``(2, time)``.
        rng: draws the orders.
    """

    sources: np.ndarray = field(default_factory=lambda: np.empty((2, 0)))
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def run_model(
        self, model: nn.Module, device: torch.device, chunks: Sequence[tuple[int, int]]
    ) -> Iterator[np.ndarray]:
        """The sources of some chunks."""
        for start, size in chunks:
            yield self.sources[:, start : start + size][self.rng.permutation(2)]


def label_speech(sources: np.ndarray, rate: int, n_ticks: int) -> np.ndarray:
    """Whether a speaker is heard in a tick, bool ``(n_ticks, n_speakers)``; short gaps closed."""
    tick = round(TICK_S * rate)
    padded = np.zeros((len(sources), n_ticks * tick), np.float32)
    padded[:, : sources.shape[1]] = sources[:, : padded.shape[1]]
    powers = np.square(padded).reshape(len(sources), n_ticks, tick).mean(axis=2)
    active = powers > 1e-9
    levels = np.array([p[a].mean() if a.any() else 1 for p, a in zip(powers, active, strict=True)])
    heard = powers > levels[:, None] * 10 ** (-ACTIVE_DB / 10)
    for row in heard:
        places = np.flatnonzero(row)
        for first, second in itertools.pairwise(places):
            if 1 < second - first <= LONGEST_GAP + 1:
                row[first:second] = True
    return heard.T
