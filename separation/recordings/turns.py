"""Who of two voices speaks when: embeddings of windows, clustered, and a small network of ticks.

The network reads, for every tick of 0.1 s, how alike recording and model outputs are to either
voice, whether there is speech, and the levels. It says which voice speaks, and which of the
model's outputs has which voice. ``turns.npz`` beside this file holds its weights; they were
learned by ``benchmarks/conversations/fit.py``.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from separation.recordings.evidence import SPEECH, TICK_S, Evidence
from separation.recordings.speech_networks import WINDOW_S

WEIGHTS = Path(__file__).with_name("turns.npz")
N_FEATURES, HIDDEN = 12, 32
# of the features, where voices, or the model's outputs, change places
SWAP_VOICES = (1, 0, 3, 2, 5, 4, 6, 7, 8, 9, 10, 11)
SWAP_OUTPUTS = (0, 1, 4, 5, 2, 3, 6, 7, 9, 8, 10, 11)


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Who speaks when, of two voices and ``t`` ticks.

    Attributes:
        voices: ``(t, 2)``, probability that a voice speaks.
        straight: ``(t,)``, probability that the model's first output has the first voice.
    """

    voices: np.ndarray
    straight: np.ndarray


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
    """Features ``(batch, t, N_FEATURES)`` to logits ``(batch, t, 3)``: voices A, B, straight."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(N_FEATURES, HIDDEN)
        self.gru = nn.GRU(HIDDEN, HIDDEN, batch_first=True, bidirectional=True)
        self.outer = nn.Linear(2 * HIDDEN, 3)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.outer(self.gru(self.inner(features).relu())[0])


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


def make_features(evidence: Evidence, project: Projection, centres: np.ndarray) -> np.ndarray:
    """Float32 ``(t, N_FEATURES)`` of a recording whose model has two outputs.

    Args:
        evidence: of the recording.
        project: of the embeddings.
        centres: ``(2, n)``, of the voices.
    """
    ticks = (np.arange(len(evidence.speech)) + 0.5) * TICK_S
    middles = evidence.starts_s + WINDOW_S / 2
    first, second = evidence.estimates
    windows = np.concatenate(
        [
            project(evidence.mixture) @ centres.T,
            project(first) @ centres.T,
            project(second) @ centres.T,
            (first * second).sum(axis=1, keepdims=True),
        ],
        axis=1,
    )
    series = [np.interp(ticks, middles, window) for window in windows.T]
    after = np.searchsorted(middles, ticks)
    near = np.minimum(
        np.abs(middles[np.clip(after, 0, len(middles) - 1)] - ticks),
        np.abs(middles[np.clip(after - 1, 0, len(middles) - 1)] - ticks),
    )
    features = [
        *(2 * value for value in series),
        2 * evidence.speech - 1,
        *(1 + evidence.levels / 20).T,
        1 + evidence.mixture_levels / 20,
        near < WINDOW_S / 2,
    ]
    return np.stack(features, axis=1).astype(np.float32)


@functools.cache
def load_turns() -> tuple[Projection, TurnNetwork]:
    """Projection and network as they were learned."""
    with np.load(WEIGHTS) as saved:
        values = {name: saved[name].astype(np.float32) for name in saved.files}
    project = Projection(mean=values.pop("mean"), matrix=values.pop("matrix"))
    network = TurnNetwork().eval()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    return project, network


@torch.inference_mode()
def run_network(network: TurnNetwork, features: np.ndarray) -> Turns:
    """Who speaks when; the same whichever voice or output is called the first."""
    variants = np.stack(
        [
            features,
            features[:, SWAP_VOICES],
            features[:, SWAP_OUTPUTS],
            features[:, SWAP_VOICES][:, SWAP_OUTPUTS],
        ]
    )
    logits = network(torch.from_numpy(variants)).double()
    voices = torch.stack([logits[0], logits[1][:, [1, 0, 2]], logits[2], logits[3][:, [1, 0, 2]]])
    straight = logits[0, :, 2] - logits[1, :, 2] - logits[2, :, 2] + logits[3, :, 2]
    return Turns(
        voices=voices[..., :2].mean(dim=0).sigmoid().numpy(),
        straight=(straight / 4).sigmoid().numpy(),
    )


def find_turns(evidence: Evidence) -> tuple[Turns, np.ndarray]:
    """Who speaks when, and the centres of the voices.

    The centres are found anew from the windows in which one voice alone was heard.
    """
    project, network = load_turns()
    points = project(evidence.mixture)
    centres = find_voices(points)
    turns = run_network(network, make_features(evidence, project, centres))
    better = refine_centres(evidence, points, turns, centres)
    return run_network(network, make_features(evidence, project, better)), better


def refine_centres(
    evidence: Evidence, points: np.ndarray, turns: Turns, centres: np.ndarray
) -> np.ndarray:
    """Centres of the windows in which one voice speaks alone, ``(2, n)``."""
    width = round(WINDOW_S / TICK_S)
    begin = np.round(evidence.starts_s / TICK_S).astype(int)
    alone = turns.voices * (1 - turns.voices[:, ::-1]) * (evidence.speech > SPEECH)[:, None]
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(alone, axis=0)])
    shares = (sums[np.minimum(begin + width, len(alone))] - sums[begin]) / width
    found = []
    for k in range(2):
        weights = np.where(shares[:, k] > 0.6, shares[:, k], 0)
        mean = (points * weights[:, None]).sum(axis=0)
        size = np.linalg.norm(mean)
        found.append(mean / size if weights.sum() >= 3 and size > 0 else centres[k])
    return np.stack(found)
