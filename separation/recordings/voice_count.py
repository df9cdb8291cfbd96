"""How many voices a recording has: none, one, two in turns, two at once all the time, or three."""

from dataclasses import dataclass

import numpy as np

from separation.recordings.evidence import SPEECH, TICK_S, Evidence
from separation.recordings.speech_networks import WINDOW_S
from separation.recordings.turns import Projection, find_voices, load_turns

# Chosen on training and development speakers, see docs/recordings.md
SHORTEST_S, SELDOM = 0.5, 0.02  # less speech than either is none
FEWEST_WINDOWS = 6
PURE = 0.8  # likeness of an output and the recording from which on one voice alone is heard
ONE_SPREAD, ONE_GAIN, ONE_SUM = 0.66, 0.055, 1.0
THREE_LIKENESS, THREE_SHARE, THREE_WINDOWS = 0.53, 0.05, 20


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What voices are counted by; likeness is a cosine of projected embeddings.

    Attributes:
        speech_s: seconds of speech.
        spread: length of the mean of the windows, 1 where all are alike.
        likeness: of the two clusters of windows.
        gain: by how much windows in which one voice alone is heard are more like the nearer of two
            centres than like one for all.
        faithful: mean likeness of the recording and the model's louder output: where one voice
            speaks the output is the recording, where two do it is one of them.
        pure: share of windows in which it is beyond 0.8.
        third: of three clusters of those windows, the likeness of the two that are most alike.
        third_share: share of the windows in the smallest of the three.
    """

    speech_s: float
    spread: float
    likeness: float
    gain: float
    faithful: float
    pure: float
    third: float
    third_share: float


@dataclass(frozen=True, kw_only=True)
class Count:
    """Voices of a recording.

    Attributes:
        n_voices: 0, 1, 2, or 3 for three or more; 2 where that cannot be said.
        is_known: whether there was enough speech to say.
        traits: what they were counted by; None: there is too little speech.
    """

    n_voices: int
    is_known: bool
    traits: Traits | None


def count_voices(evidence: Evidence) -> Count:
    """Count the voices of a recording."""
    n_speech = int((evidence.speech > SPEECH).sum())
    if n_speech * TICK_S < max(SHORTEST_S, SELDOM * len(evidence.speech) * TICK_S):
        return Count(n_voices=0, is_known=True, traits=None)
    if len(evidence.starts_s) < FEWEST_WINDOWS:
        return Count(n_voices=2, is_known=False, traits=None)
    traits = measure_traits(evidence, load_turns()[0])
    alike = traits.spread > ONE_SPREAD and traits.gain < ONE_GAIN
    if alike and traits.faithful + traits.likeness / 2 > ONE_SUM:
        return Count(n_voices=1, is_known=True, traits=traits)
    third = traits.third < THREE_LIKENESS and traits.third_share >= THREE_SHARE
    return Count(n_voices=3 if third else 2, is_known=True, traits=traits)


def measure_traits(evidence: Evidence, project: Projection) -> Traits:
    """Measure what voices are counted by."""
    points, outputs = project(evidence.mixture), project(evidence.estimates)
    ticks = np.round((evidence.starts_s + WINDOW_S / 2) / TICK_S).astype(int)
    louder = evidence.levels[np.minimum(ticks, len(evidence.levels) - 1)].argmax(axis=1)
    likeness = (outputs * points).sum(axis=2)
    pure = points[likeness.max(axis=0) > PURE]
    two = find_voices(points)
    third, third_share = 1.0, 0.0
    if len(pure) >= THREE_WINDOWS:
        three = find_voices(pure, 3)
        third = float((three @ three.T - 2 * np.eye(3)).max())
        nearest = np.bincount((pure @ three.T).argmax(axis=1), minlength=3)
        third_share = float(nearest.min() / len(pure))
    return Traits(
        speech_s=round(float((evidence.speech > SPEECH).sum() * TICK_S), 1),
        spread=float(np.linalg.norm(points.mean(axis=0))),
        likeness=float(two[0] @ two[1]),
        gain=measure_gain(pure if len(pure) >= FEWEST_WINDOWS else points),
        faithful=float(likeness[louder, np.arange(len(points))].mean()),
        pure=len(pure) / len(points),
        third=third,
        third_share=third_share,
    )


def measure_gain(points: np.ndarray) -> float:
    """Mean likeness with the nearer of two centres, less that with the mean of all."""
    nearer = (points @ find_voices(points).T).max(axis=1).mean()
    return float(nearer - np.linalg.norm(points.mean(axis=0)))
