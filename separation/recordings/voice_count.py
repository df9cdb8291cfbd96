"""How many voices a recording has: none, one, two in turns, two at once all the time, or three."""

from dataclasses import dataclass

import numpy as np

from separation.recordings.evidence import SPEECH, Evidence
from separation.recordings.speech_networks import TICK_S
from separation.recordings.turns import (
    BOTH,
    FIRST,
    Turns,
    average_before,
    find_voices,
    load_turns,
)

# Chosen on training and development speakers, see docs/recordings.md
SHORTEST_S, SELDOM = 0.5, 0.02  # less speech than either is none
FEWEST = 6  # points
ALONE = 0.3  # probability of both below which a tick's point counts
ONE_BOTH, ONE_SPREAD, ONE_GAIN = 0.15, 0.63, 0.055
THREE_LIKENESS, THREE_SHARE, THREE_POINTS, THREE_NEAR = 0.53, 0.05, 20, 0.665


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What voices are counted by; likeness is a cosine of projected embeddings.

    Attributes:
        speech_s: seconds of speech.
        both: share of the speech in which two speak.
        sure: mean certainty of which voice it is where one speaks.
        likeness: of the two voices' centres.
        spread: length of the mean of the points of one voice alone, 1 where all are alike.
        gain: by how much those points are more like the nearer of two centres than like one.
        near: mean likeness of those points with the nearer centre.
        third: of three clusters of them, the likeness of the two that are most alike.
        third_share: share of them in the smallest of the three.
    """

    speech_s: float
    both: float
    sure: float
    likeness: float
    spread: float
    gain: float
    near: float
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


def count_voices(evidence: Evidence, turns: Turns) -> Count:
    """Count the voices of a recording."""
    if evidence.speech_s < max(SHORTEST_S, SELDOM * len(evidence.speech) * TICK_S):
        return Count(n_voices=0, is_known=True, traits=None)
    traits = measure_traits(evidence, turns)
    if traits is None:
        return Count(n_voices=2, is_known=False, traits=None)
    return Count(n_voices=decide_count(traits), is_known=True, traits=traits)


def decide_count(traits: Traits) -> int:
    """One voice, two, or three for three or more.

    One voice alone is never two at once; its points are alike, and two centres fit them no better.
    """
    alike = traits.spread > ONE_SPREAD and traits.gain < ONE_GAIN
    if alike and traits.both < ONE_BOTH:
        return 1
    third = traits.third < THREE_LIKENESS and traits.third_share >= THREE_SHARE
    return 3 if third and traits.near < THREE_NEAR else 2


def measure_traits(evidence: Evidence, turns: Turns) -> Traits | None:
    """Measure what voices are counted by; None: there is too little speech."""
    spoken = average_before(evidence.speech > SPEECH) >= 0.6
    points = load_turns().project(evidence.embeddings.astype(np.float32))
    alone = points[spoken & (turns.states[:, BOTH] < ALONE)][::3]
    if len(alone) < FEWEST:
        alone = points[spoken][::3]
    if len(alone) < FEWEST:
        return None
    states = turns.states[evidence.speech > SPEECH, FIRST:]
    states = states / np.maximum(states.sum(axis=1, keepdims=True), 1e-6)
    single = states[states[:, -1] < ALONE]
    spread = float(np.linalg.norm(alone.mean(axis=0)))
    near = float((alone @ turns.centres.T).max(axis=1).mean())
    third, third_share = 1.0, 0.0
    if len(alone) >= THREE_POINTS:
        three = find_voices(alone, 3)
        third = float((three @ three.T - 2 * np.eye(3)).max())
        nearest = np.bincount((alone @ three.T).argmax(axis=1), minlength=3)
        third_share = float(nearest.min() / len(alone))
    return Traits(
        speech_s=round(evidence.speech_s, 1),
        both=float(states[:, -1].mean()),
        sure=float(np.abs(single[:, 0] - single[:, 1]).mean()) if len(single) else 0.0,
        likeness=float(turns.centres[0] @ turns.centres[1]),
        spread=spread,
        gain=near - spread,
        near=near,
        third=third,
        third_share=third_share,
    )
