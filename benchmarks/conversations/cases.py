"""A conversation through the shipped model, and what each tick of it really is."""

import dataclasses
import itertools
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.conversations.draw import Conversation
from benchmarks.conversations.speech import RATE
from separation.audio.resample import resample
from separation.models.chunks import Joiner
from separation.recordings.activity import survey
from separation.recordings.chunks import StoredEstimates, cut_chunks
from separation.recordings.evidence import TICK_S, Evidence, gather_evidence
from separation.recordings.speech_networks import load_detector, load_encoder

CPU = torch.device("cpu")
ACTIVE_DB = 25.0  # below a speaker's mean level
LONGEST_GAP = 3  # ticks


@dataclass(frozen=True, kw_only=True)
class Case:
    """A conversation that was separated.

    Attributes:
        names: of the speakers.
        sources: float32 ``(n_speakers, time)`` at the model's rate.
        stored: the estimates.
        evidence: of the voices.
        overlapped: share of the speech.
    """

    names: tuple[str, ...]
    sources: np.ndarray
    stored: StoredEstimates
    evidence: Evidence
    overlapped: float


def separate_case(conversation: Conversation, model: nn.Module, folder: Path) -> Case:
    """Separate a conversation, or read what the folder holds of it."""
    rate = int(model.sample_rate)  # type: ignore[arg-type]
    sources = resample(conversation.sources, RATE, rate).astype(np.float32)
    stored = StoredEstimates(
        mixture=folder / "mixture.f32",
        estimates=folder / "estimates.f32",
        state=folder / "state.npz",
        rate=rate,
    )
    kept = folder / "evidence.pkl"
    folder.mkdir(parents=True, exist_ok=True)
    if not kept.is_file():
        conversation.mixture.astype(np.float32).tofile(folder / "wide.f32")
        sources.sum(axis=0).tofile(stored.mixture)
    stored.separate(model, CPU, folder.name)
    return Case(
        names=conversation.names,
        sources=sources,
        stored=stored,
        evidence=read_evidence(stored, folder / "wide.f32", kept),
        overlapped=conversation.overlapped,
    )


def read_evidence(stored: StoredEstimates, wide: Path, kept: Path) -> Evidence:
    """Evidence of separated speech, from a file where it is there, else into it."""
    if kept.is_file():
        return Evidence(**pickle.loads(kept.read_bytes()))
    encoder, detector = load_encoder(), load_detector()
    assert encoder and detector, "pip install --no-deps -r requirements-voices.txt"
    evidence = gather_evidence(stored, wide, survey(stored), encoder, detector)
    fields = {f.name: getattr(evidence, f.name) for f in dataclasses.fields(evidence)}
    kept.write_bytes(pickle.dumps(fields))
    return evidence


def store_oracle(case: Case, rng: np.random.Generator) -> StoredEstimates:
    """The sources as a separator's outputs, whose order is another in every chunk of 30 s."""
    stored = case.stored
    oracle = StoredEstimates(
        mixture=stored.mixture,
        estimates=stored.estimates.with_name("oracle.f32"),
        state=stored.state.with_name("oracle.npz"),
        rate=stored.rate,
        n_src=2,
    )
    starts, size, overlap = cut_chunks(stored.n_samples, stored.rate)
    joiner = Joiner(overlap=overlap)
    blocks = []
    for start in starts:
        piece = case.sources[:, start : start + size][rng.permutation(2)]
        blocks.append(joiner.add(piece, is_last=start == starts[-1]).T)
    np.concatenate(blocks).astype(np.float32).tofile(oracle.estimates)
    oracle.leads = joiner.leads
    return oracle


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


def label_order(sources: np.ndarray, stored: StoredEstimates, n_ticks: int) -> np.ndarray:
    """By how much the first output has the first speaker, ``(n_ticks,)`` from -1 to 1."""
    tick = round(TICK_S * stored.rate)
    estimates = stored.read_estimates(0, stored.n_samples)
    sums = np.zeros((n_ticks, 2, 2))
    sizes = np.zeros(n_ticks)
    for start in range(n_ticks):
        part = slice(max(0, start - 2) * tick, (start + 3) * tick)
        ours, theirs = estimates[:, part].astype(np.float64), sources[:2, part].astype(np.float64)
        gram = ours @ ours.T
        factors = np.linalg.lstsq(gram, ours @ theirs.sum(axis=0), rcond=None)[0]
        products = (ours * factors[:, None]) @ theirs.T
        sums[start] = products
        sizes[start] = np.square(theirs).sum()
    lead = sums[:, 0, 0] + sums[:, 1, 1] - sums[:, 0, 1] - sums[:, 1, 0]
    return lead / np.maximum(sizes, 1e-9)
