"""Who of two voices speaks when, from a recording alone: voices clustered, then a small network.

The network reads, for every tick of 0.1 s, the spectrum, whether there is speech, and how alike the
embeddings that end soon after are to either voice. It says whether nobody, one of them or both
speak. ``turns.npz`` beside this file holds its weights; they were learned by
``benchmarks/conversations/fit.py``.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from separation.recordings.evidence import SPEECH, Evidence
from separation.recordings.speech_networks import N_MELS, N_SPECTRUM

WEIGHTS = Path(__file__).with_name("turns.npz")
SHIFTS = (0, 4, 8, 12)  # ticks from one to the embeddings' ends that it is judged by
N_COMMON, N_LIKENESS, INNER, HIDDEN = N_SPECTRUM + 1, 2 * len(SHIFTS), 32, 48
NEITHER, FIRST, SECOND, BOTH = range(4)
SWAP_STATES = [NEITHER, SECOND, FIRST, BOTH]  # where voices change places
PASSES = 3  # in which the voices' centres get better
CONTEXT = 12  # ticks that an embedding is of, on average
BLOCK, MARGIN = 6000, 200  # ticks that the network reads at a time, and beyond either end


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Who speaks when, of two voices and ``t`` ticks.

    Attributes:
        states: ``(t, 4)``, probabilities of neither, the first voice alone, the second, both.
        centres: ``(2, n)``, of the voices.
    """

    states: np.ndarray
    centres: np.ndarray

    @property
    def voices(self) -> np.ndarray:
        """Probability that a voice speaks, ``(t, 2)``."""
        return self.states[:, FIRST : SECOND + 1] + self.states[:, BOTH:]


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A linear map of embeddings after which voices differ and words do not (LDA).

    Attributes:
        mean: ``(256,)``.
        matrix: ``(256, n)``.
    """

    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """Embeddings ``(..., 256)`` to unit vectors ``(..., n)``."""
        found = (embeddings - self.mean) @ self.matrix
        return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-9)


class TurnNetwork(nn.Module):
    """Features of ticks to logits ``(batch, t, 4)`` of :attr:`Turns.states`."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Sequential(nn.Linear(N_COMMON, INNER), nn.ReLU(), nn.Dropout(0.1))
        self.inner = nn.Linear(INNER + N_LIKENESS, HIDDEN)
        self.gru = nn.GRU(HIDDEN, HIDDEN, batch_first=True, bidirectional=True)
        self.outer = nn.Linear(2 * HIDDEN, 4)

    def forward(self, common: torch.Tensor, likeness: torch.Tensor) -> torch.Tensor:
        """From ``(batch, t, N_COMMON)`` and ``(batch, t, N_LIKENESS)``."""
        x = torch.cat([self.base(common), likeness], dim=-1)
        return self.outer(self.gru(self.inner(x).relu())[0])


def find_voices(points: np.ndarray, n_voices: int = 2, seed: int = 0) -> np.ndarray:
    """Centres ``(n_voices, n)`` of unit vectors ``(n_points, n)`` by spherical k-means.

    A point between two centres, such as of a window in which both speak, weighs little.

    Args:
        points: unit vectors.
        n_voices: how many.
        seed: of the first centres.
    """
    rng = np.random.default_rng(seed)
    best, best_fit = points[:n_voices], -np.inf
    for _ in range(8):
        centres = _choose_first(points, n_voices, rng)
        for _ in range(12):
            likeness = points @ centres.T
            ordered = np.sort(likeness, axis=1)
            margin = ordered[:, -1] - (ordered[:, -2] if n_voices > 1 else 0)
            nearest = likeness.argmax(axis=1)
            weights = np.maximum(margin, 1e-6)
            sums = np.stack(
                [
                    (points * (weights * (nearest == k))[:, None]).sum(axis=0)
                    for k in range(n_voices)
                ]
            )
            centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        fit = float((points @ centres.T).max(axis=1).mean())
        if fit > best_fit:
            best, best_fit = centres, fit
    return best


def _choose_first(points: np.ndarray, n_voices: int, rng: np.random.Generator) -> np.ndarray:
    """First centres far apart (k-means++)."""
    chosen = [points[rng.integers(len(points))]]
    while len(chosen) < n_voices:
        distance = 1 - (points @ np.stack(chosen).T).max(axis=1)
        weights = np.square(np.maximum(distance, 1e-6))
        chosen.append(points[rng.choice(len(points), p=weights / weights.sum())])
    return np.stack(chosen)


def choose_points(evidence: Evidence, points: np.ndarray, share: float = 0.6) -> np.ndarray:
    """Every third point, of embeddings that are mostly of speech."""
    spoken = average_before(evidence.speech > SPEECH)
    chosen = points[spoken >= share][::3]
    return chosen if len(chosen) > 4 else points[::3]


def average_before(values: np.ndarray) -> np.ndarray:
    """Means over the ``CONTEXT`` ticks that end with each, silence before the first."""
    padded = np.concatenate([np.zeros((CONTEXT, *values.shape[1:])), values])
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(padded, axis=0)])
    return (sums[CONTEXT + 1 :] - sums[1:-CONTEXT]) / CONTEXT


def describe_ticks(evidence: Evidence) -> np.ndarray:
    """What does not depend on voices, float32 ``(t, N_COMMON)``: spectra about their mean."""
    spectra, spoken = evidence.spectra.astype(np.float32), evidence.speech > SPEECH
    mean = spectra[spoken].mean(axis=0) if spoken.sum() > 10 else spectra.mean(axis=0)
    centred = spectra - mean
    centred[:, :N_MELS] /= 2.5
    centred = np.clip(centred, -4, 4)
    return np.concatenate([centred, 2 * evidence.speech[:, None] - 1], axis=1).astype(np.float32)


def compare_voices(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Likeness of ticks to either voice, float32 ``(t, N_LIKENESS)``: the first's, the second's."""
    likeness = 2 * points @ centres.T
    last = len(points) - 1
    places = [np.minimum(np.arange(len(points)) + shift, last) for shift in SHIFTS]
    columns = [likeness[place, voice] for voice in range(2) for place in places]
    return np.stack(columns, axis=1).astype(np.float32)


def swap_voices(likeness: np.ndarray) -> np.ndarray:
    """The features of :func:`compare_voices` with the voices in the other order."""
    half = N_LIKENESS // 2
    return np.concatenate([likeness[..., half:], likeness[..., :half]], axis=-1)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What ``turns.npz`` holds.

    Attributes:
        project: of embeddings.
        network: who speaks when.
        order: ``(n_cues,)``, weights of :func:`separation.recordings.stretches.order_outputs`.
    """

    project: Projection
    network: TurnNetwork
    order: np.ndarray


@functools.cache
def load_turns() -> Learned:
    """All that was learned."""
    with np.load(WEIGHTS) as saved:
        values = {name: saved[name].astype(np.float32) for name in saved.files}
    project = Projection(mean=values.pop("mean"), matrix=values.pop("matrix"))
    order = values.pop("order")
    network = TurnNetwork().eval()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    return Learned(project=project, network=network, order=order)


@torch.inference_mode()
def run_network(network: TurnNetwork, common: np.ndarray, likeness: np.ndarray) -> np.ndarray:
    """States ``(t, 4)``; the same whichever voice is called the first."""
    found = []
    for start in range(0, len(common), BLOCK):
        first = max(0, start - MARGIN)
        part = slice(first, start + BLOCK + MARGIN)
        pair = torch.from_numpy(np.stack([likeness[part], swap_voices(likeness[part])]))
        logits = network(torch.from_numpy(common[part]).expand(2, -1, -1), pair).double()
        states = logits.log_softmax(dim=-1)
        mean = (states[0] + states[1][:, SWAP_STATES]) / 2
        found.append(mean.softmax(dim=-1)[start - first :][:BLOCK].numpy())
    return np.concatenate(found)


def find_turns(evidence: Evidence) -> Turns:
    """Who speaks when.

    The voices' centres are found anew from the ticks in which one voice alone was heard.
    """
    network, project = load_turns().network, load_turns().project
    points = project(evidence.embeddings.astype(np.float32))
    centres = find_voices(choose_points(evidence, points))
    common = describe_ticks(evidence)
    states = run_network(network, common, compare_voices(points, centres))
    for _ in range(PASSES - 1):
        centres = refine_centres(points, states, centres)
        states = run_network(network, common, compare_voices(points, centres))
    return Turns(states=states, centres=centres)


def refine_centres(points: np.ndarray, states: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Centres of the ticks in which one voice speaks alone, ``(2, n)``."""
    shares = average_before(states[:, FIRST : SECOND + 1])
    found = []
    for k in range(2):
        weights = np.where(shares[:, k] > 0.6, shares[:, k], 0)
        mean = (points * weights[:, None]).sum(axis=0)
        size = np.linalg.norm(mean)
        found.append(mean / size if weights.sum() >= 8 and size > 0 else centres[k])
    return np.stack(found)
