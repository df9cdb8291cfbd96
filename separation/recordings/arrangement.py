"""How tracks are made of a recording and a model's outputs: by voices, or as the outputs are."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from separation.recordings.activity import (
    FRAME_S,
    Blocks,
    Survey,
    find_speech,
    find_suspected_swaps,
    survey,
)
from separation.recordings.adaptation import Adaptation, adapt_model
from separation.recordings.chunks import StoredEstimates
from separation.recordings.evidence import SPEECH, Evidence, gather_evidence
from separation.recordings.mixdown import (
    Mixdown,
    decide_speech,
    find_unsure_seconds,
    make_gains,
    measure_products,
)
from separation.recordings.speech_networks import INSTALL, TICK_S, load_detector, load_encoder
from separation.recordings.stretches import OrderCues, cut_parts, find_stretches, order_outputs
from separation.recordings.turns import FIRST, Turns, find_turns, load_turns
from separation.recordings.voice_count import Count, count_voices

# of conversations and overlapped mixtures of training and development speakers
SHORTEST_S = 20.0  # of speech; in less, voices are not known well enough to take turns
ORDER_LEARNED = 4.0  # log odds that a model that learned the voices has them in order
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
        adaptation: what the model learned of the voices; None: nothing.
    """

    tracks: Blocks
    survey: Survey
    speech: np.ndarray
    way: str
    count: Count | None
    suspected_s: list[float]
    adaptation: Adaptation | None = None


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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is heard in a recording, and what therefore has to be separated.

    Attributes:
        way: as of :class:`Arrangement`.
        count: of the voices; None: they were not counted.
        evidence: None in mode ``overlap``.
        turns: who speaks when, likewise.
        stretches: ticks in which both do; only they are separated in a conversation.
    """

    way: str
    count: Count | None = None
    evidence: Evidence | None = None
    turns: Turns | None = None
    stretches: list[tuple[int, int]] = field(default_factory=list)


def plan_tracks(wide: Path, mode: str) -> Plan:
    """Listen to a recording, and decide how tracks are made.

    Args:
        wide: raw float32 of the recording at 16 kHz; not read in mode ``overlap``.
        mode: of :func:`choose_mode`.
    """
    if mode == "overlap":
        return Plan(way="overlap")
    encoder, detector = load_encoder(), load_detector()
    assert encoder is not None and detector is not None
    return plan_by_evidence(gather_evidence(wide, encoder, detector), mode)


def plan_by_evidence(evidence: Evidence, mode: str) -> Plan:
    """Decide by the evidence of the voices, see :func:`plan_tracks`."""
    turns = find_turns(evidence)
    count = count_voices(evidence, turns)
    stretches: list[tuple[int, int]] = []
    way = "conversation" if mode == "conversation" else choose_way(evidence, turns, count)
    if way == "conversation":
        stretches = find_stretches(turns)
    return Plan(way=way, count=count, evidence=evidence, turns=turns, stretches=stretches)


def choose_way(evidence: Evidence, turns: Turns, count: Count) -> str:
    """How ``--mode auto`` makes tracks."""
    if count.n_voices == 0 or not count.is_known:
        return "overlap"
    if count.n_voices == 1:
        return "one voice"
    mostly = measure_overlap(turns, evidence) > MOSTLY
    return "overlap" if mostly or evidence.speech_s < SHORTEST_S else "conversation"


def separate_planned(
    stored: StoredEstimates,
    plan: Plan,
    model: nn.Module,
    device: torch.device,
    label: str,
    *,
    adapt: bool = False,
) -> Arrangement:
    """Separate what a plan asks for, or go on with it, and arrange it.

    Args:
        stored: the recording, and where its estimates go.
        plan: of :func:`plan_tracks`.
        model, device: that separate.
        label: for the progress bar.
        adapt: whether the model first learns the voices of a conversation.
    """
    if plan.way == "overlap":
        stored.separate(model, device, label)
        return keep_outputs(stored, plan.count)
    assert plan.evidence is not None and plan.turns is not None
    encoder, project = load_encoder(), load_turns().project
    assert encoder is not None
    cues = OrderCues(
        stretches=plan.stretches,
        turns=plan.turns,
        encoder=encoder,
        project=project,
        points=project(plan.evidence.embeddings.astype(np.float32)),
        rate=stored.rate,
    )
    adaptation = None
    if adapt and plan.stretches:
        model, adaptation = adapt_model(model, stored, plan.turns, device, label)
    parts = cut_parts(plan.stretches, stored.n_samples, stored.rate)
    measured = stored.separate_parts(model, device, label, parts, cues)
    if plan.way == "one voice":
        return keep_recording(stored, plan)
    known = ORDER_LEARNED if adaptation and adaptation.is_used else 0.0
    straight = order_outputs(measured, load_turns().order, known)
    by_cues = order_outputs(measured, load_turns().order)
    return arrange_turns(stored, plan, straight, by_cues, adaptation)


def arrange_turns(
    stored: StoredEstimates,
    plan: Plan,
    straight: np.ndarray,
    by_cues: np.ndarray | None = None,
    adaptation: Adaptation | None = None,
) -> Arrangement:
    """Tracks by turns.

    Args:
        stored: recording, and estimates of the stretches.
        plan: who speaks when.
        straight: ``(n_stretches,)``, probability that the first output has the first voice.
        by_cues: the same by the cues alone, which say where it is unclear; None: as ``straight``.
        adaptation: of the model that separated.
    """
    assert plan.turns is not None and plan.evidence is not None
    gains = make_gains(plan.turns, plan.stretches, straight, measure_products(stored))
    mixdown = Mixdown(stored=stored, gains=gains)
    surveyed = survey(mixdown, np.ones(2))
    spoken = decide_speech(plan.turns) & (plan.evidence.speech > 0.1)[:, None]
    return Arrangement(
        tracks=mixdown,
        survey=surveyed,
        speech=spread_speech(spoken, len(surveyed.powers)),
        way="conversation",
        count=plan.count,
        suspected_s=find_unsure_seconds(
            plan.turns, plan.stretches, straight if by_cues is None else by_cues
        ),
        adaptation=adaptation,
    )


def keep_outputs(stored: StoredEstimates, count: Count | None) -> Arrangement:
    """The model's outputs as they are, each at the level that fits the recording."""
    surveyed = survey(stored)
    return Arrangement(
        tracks=stored,
        survey=surveyed,
        speech=find_speech(surveyed),
        way="overlap",
        count=count,
        suspected_s=find_suspected_swaps(stored.leads),
    )


def keep_recording(stored: StoredEstimates, plan: Plan) -> Arrangement:
    """The recording as the first track, and nothing in the others."""
    assert plan.evidence is not None
    gains = np.zeros((1, stored.n_src, 1 + stored.n_src))
    gains[0, 0, 0] = 1
    mixdown = Mixdown(stored=stored, gains=gains)
    surveyed = survey(mixdown, np.ones(stored.n_src))
    spoken = np.zeros((len(plan.evidence.speech), stored.n_src), bool)
    spoken[:, 0] = plan.evidence.speech > SPEECH
    return Arrangement(
        tracks=mixdown,
        survey=surveyed,
        speech=spread_speech(spoken, len(surveyed.powers)),
        way="one voice",
        count=plan.count,
        suspected_s=[],
    )


def spread_speech(spoken: np.ndarray, n_frames: int) -> np.ndarray:
    """Ticks ``(t, n)`` to frames of 20 ms ``(n_frames, n)``."""
    frames = np.repeat(spoken, round(TICK_S / FRAME_S), axis=0)[:n_frames]
    return np.pad(frames, ((0, n_frames - len(frames)), (0, 0)), mode="edge")


def measure_overlap(turns: Turns, evidence: Evidence) -> float:
    """Share of the speech in which both speak."""
    spoken = turns.states[evidence.speech > SPEECH, FIRST:]
    return float(spoken[:, -1].sum() / max(1e-6, spoken.sum()))
