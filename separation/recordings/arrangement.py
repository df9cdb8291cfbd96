"""How tracks are made of a recording and a model's outputs: by voices, or as the outputs are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separation.recordings.activity import (
    FRAME_S,
    Blocks,
    Survey,
    find_speech,
    find_suspected_swaps,
    survey,
)
from separation.recordings.chunks import StoredEstimates
from separation.recordings.evidence import SPEECH, TICK_S, Evidence, gather_evidence
from separation.recordings.mixdown import (
    Mixdown,
    decide_speech,
    find_unsure_seconds,
    make_gains,
    measure_products,
)
from separation.recordings.speech_networks import INSTALL, load_detector, load_encoder
from separation.recordings.turns import find_turns
from separation.recordings.voice_count import Count, count_voices

# of conversations and overlapped mixtures of training and development speakers
SHORTEST_S = 20.0  # of speech; in less, voices are not known well enough to take turns
MOSTLY = 0.6  # share of the speech in which both speak, from which on outputs stay as they are


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Tracks, and what is known of the voices in them.

    Attributes:
        tracks: read in blocks.
        survey: of the tracks; its factors are still to be applied.
        speech: bool ``(n_frames, n_src)``, who speaks when.
        way: ``overlap``: the model's outputs; ``conversation``: by turns; ``one voice``.
        count: of the voices; None: they were not counted.
        suspected_s: seconds near which voices may be in the wrong track.
    """

    tracks: Blocks
    survey: Survey
    speech: np.ndarray
    way: str
    count: Count | None
    suspected_s: list[float]


def choose_mode(mode: str, n_src: int) -> str:
    """The mode that is possible here: without the networks, or for three voices, ``overlap``."""
    if mode == "overlap" or n_src != 2:
        return "overlap"
    if load_encoder() is None or load_detector() is None:
        return "overlap"
    return mode


def explain_mode(mode: str, n_src: int) -> str:
    """Why voices are not told apart though that was not asked for; empty: they are."""
    if choose_mode(mode, n_src) == mode:
        return ""
    if n_src != 2:
        return f"the model has {n_src} outputs: voices are followed through pauses for two only"
    return (
        "voices are followed by the overlap of chunks only, and may change tracks in pauses: "
        f"the networks that know voices again are not installed ({INSTALL})"
    )


def arrange(stored: StoredEstimates, wide: Path, mode: str) -> Arrangement:
    """Decide how tracks are made.

    Args:
        stored: recording and estimates.
        wide: raw float32 of the recording at 16 kHz; not read in mode ``overlap``.
        mode: of :func:`choose_mode`.
    """
    surveyed = survey(stored)
    if mode == "overlap":
        return keep_outputs(stored, surveyed, None)
    encoder, detector = load_encoder(), load_detector()
    assert encoder is not None and detector is not None
    evidence = gather_evidence(stored, wide, surveyed, encoder, detector)
    return arrange_evidence(stored, surveyed, evidence, mode)


def arrange_evidence(
    stored: StoredEstimates, surveyed: Survey, evidence: Evidence, mode: str
) -> Arrangement:
    """Decide by the evidence of the voices, see :func:`arrange`."""
    count = count_voices(evidence)
    unclear = count.n_voices == 0 or not count.is_known
    short = (evidence.speech > SPEECH).sum() * TICK_S < SHORTEST_S
    if len(evidence.starts_s) < 2 or (mode == "auto" and unclear):
        return keep_outputs(stored, surveyed, count)
    if mode == "auto" and count.n_voices == 1:
        return keep_recording(stored, evidence.speech, count)
    if mode == "auto" and short:
        return keep_outputs(stored, surveyed, count)
    turns = find_turns(evidence)[0]
    spoken = decide_speech(turns)
    if mode == "auto" and measure_overlap(spoken) > MOSTLY:
        return keep_outputs(stored, surveyed, count)
    mixdown = Mixdown(stored=stored, gains=make_gains(turns, measure_products(stored), spoken))
    return Arrangement(
        tracks=mixdown,
        survey=survey(mixdown, np.ones(2)),
        speech=spread_speech(spoken & (evidence.speech > 0.1)[:, None], len(surveyed.powers)),
        way="conversation",
        count=count,
        suspected_s=find_unsure_seconds(turns, spoken),
    )


def keep_outputs(stored: StoredEstimates, surveyed: Survey, count: Count | None) -> Arrangement:
    """The model's outputs as they are, each at the level that fits the recording."""
    return Arrangement(
        tracks=stored,
        survey=surveyed,
        speech=find_speech(surveyed),
        way="overlap",
        count=count,
        suspected_s=find_suspected_swaps(stored.leads),
    )


def keep_recording(stored: StoredEstimates, speech: np.ndarray, count: Count) -> Arrangement:
    """The recording as the first track, and nothing in the others."""
    gains = np.zeros((1, stored.n_src, 1 + stored.n_src))
    gains[0, 0, 0] = 1
    mixdown = Mixdown(stored=stored, gains=gains)
    surveyed = survey(mixdown, np.ones(stored.n_src))
    spoken = np.zeros((len(speech), stored.n_src), bool)
    spoken[:, 0] = speech > 0.5
    return Arrangement(
        tracks=mixdown,
        survey=surveyed,
        speech=spread_speech(spoken, len(surveyed.powers)),
        way="one voice",
        count=count,
        suspected_s=[],
    )


def spread_speech(spoken: np.ndarray, n_frames: int) -> np.ndarray:
    """Ticks ``(t, n)`` to frames of 20 ms ``(n_frames, n)``."""
    frames = np.repeat(spoken, round(TICK_S / FRAME_S), axis=0)[:n_frames]
    return np.pad(frames, ((0, n_frames - len(frames)), (0, 0)), mode="edge")


def measure_overlap(spoken: np.ndarray) -> float:
    """Share of the speech, bool ``(t, 2)``, in which both speak."""
    return float(spoken.all(axis=1).sum() / max(1, spoken.any(axis=1).sum()))
