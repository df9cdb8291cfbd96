"""All that is measured of a separated recording, and remarks where something looks wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separation.recordings.activity import FRAME_S, Survey, find_runs, to_db
from separation.recordings.adaptation import Adaptation
from separation.recordings.arrangement import Arrangement
from separation.recordings.voice_count import Count


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One track.

    Attributes:
        track: name of the file.
        level_db: mean power, full scale at 0.
        factor: what the model's output was multiplied by.
        speech_s: how long it speaks.
        n_turns: stretches of speech.
    """

    track: str
    level_db: float
    factor: float
    speech_s: float
    n_turns: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What NAME.json says of a recording and its tracks.

    Attributes:
        model: as it was named, or described.
        model_rate: Hz.
        n_channels: of the recording.
        sample_rate: of recording and tracks, in Hz.
        duration_s: of both.
        peak_db: of the recording, full scale at 0.
        level_db: its mean power.
        n_clipped: its samples at full scale.
        turned_down_db: by how much all tracks were, to avoid clipping.
        way: how the tracks were made, see :class:`~separation.recordings.arrangement.Arrangement`.
        count: of the voices, and what it was seen by; None: they were not counted.
        adaptation: what the model learned of the voices first; None: nothing.
        explained: share of the recording's energy, in the model's band, that the tracks' sum has.
        voices: the tracks.
        correlations: of the tracks with each other.
        order_leads: of each overlap of two chunks, how clear the order of the voices was: 0 is
            arbitrary, 1 clear.
        suspected_swaps_s: seconds near which voices may be in the wrong track.
        remarks: what looks wrong, in sentences.
        seconds_taken: by this call.
    """

    model: str
    model_rate: int
    n_channels: int
    sample_rate: int
    duration_s: float
    peak_db: float
    level_db: float
    n_clipped: int
    turned_down_db: float
    way: str
    count: Count | None
    adaptation: Adaptation | None
    explained: float
    voices: tuple[Voice, ...]
    correlations: list[list[float]]
    order_leads: list[float]
    suspected_swaps_s: list[float]
    remarks: list[str]
    seconds_taken: float


def round_db(power: float) -> float:
    """Power in dB, two digits."""
    return round(float(to_db(power)), 2)


def measure_voices(
    surveyed: Survey, speech: np.ndarray, tracks: Sequence[str], down: float
) -> tuple[Voice, ...]:
    """Each track's level and speech.

    Args:
        surveyed: of the estimates.
        speech: bool ``(n_frames, n_src)``.
        tracks: names of the files.
        down: factor that avoids clipping.
    """
    return tuple(
        Voice(
            track=track,
            level_db=round_db(float(surveyed.powers[:, k].mean()) * down**2),
            factor=round(float(surveyed.factors[k]) * down, 5),
            speech_s=round(float(speech[:, k].sum() * FRAME_S), 2),
            n_turns=len(find_runs(speech[:, k])),
        )
        for k, track in enumerate(tracks)
    )


# Chosen on 44 recordings of one and two speakers, see docs/recordings.md
ALIKE = 0.45  # correlation of two tracks
LOPSIDED_DB, SELDOM, AHEAD_DB, SPEECH_DB = 8.0, 0.15, 6.0, 25.0


def list_remarks(arranged: Arrangement) -> list[str]:
    """What looks wrong, in sentences: how many voices there are, tracks alike, unclear order."""
    surveyed = arranged.survey
    remarks = list_voice_remarks(arranged)
    alike = find_alike(surveyed) if arranged.way == "overlap" else None
    if alike:
        first, second, correlation = alike
        remarks.append(
            f"tracks s{first} and s{second} are much alike (correlation {correlation:.2f}): "
            "one voice may be in both, or hardly anything was separated"
        )
    main = find_only_voice(surveyed) if arranged.count is None else 0
    if main:
        remarks.append(
            f"nearly all of it is in track s{main}: there may be one voice only, "
            "and its leak in the other track"
        )
    if arranged.suspected_s:
        remarks.append(_name_swaps(arranged.suspected_s, arranged.way))
    return remarks


def list_voice_remarks(arranged: Arrangement) -> list[str]:
    """How many voices there are where that is not what was asked for."""
    count = arranged.count
    if arranged.speech.any(axis=1).mean() < 0.02 and count is None:
        return ["hardly anything in it looks like speech"]
    if count is None:
        return []
    if count.n_voices == 0:
        return ["it holds no speech, as far as can be seen: silence, music or noise"]
    if count.n_voices == 1 and arranged.way == "one voice":
        return [
            "one voice only: track s1 is the recording, the other is silent; where you hear "
            "two, add --mode conversation, or overlap where they speak at once all the time"
        ]
    if count.n_voices > 2:
        return ["three voices or more are suspected, and two tracks hold them"]
    return []


def _name_swaps(seconds: Sequence[float], way: str) -> str:
    listed = ", ".join(f"{second:g}" for second in seconds[:10])
    rest = f" and {len(seconds) - 10} more" if len(seconds) > 10 else ""
    reason = (
        "it is not clear there whose voice it is"
        if way == "conversation"
        else "hardly anybody speaks there where chunks meet, or both tracks fit"
    )
    return f"voices may change tracks near second {listed}{rest}: {reason}"


def find_alike(surveyed: Survey) -> tuple[int, int, float] | None:
    """The two most correlated tracks, from 1, and how much, where that is much."""
    magnitudes = np.abs(np.triu(surveyed.correlations, 1))
    if magnitudes.max(initial=0) < ALIKE:
        return None
    first, second = np.unravel_index(int(magnitudes.argmax()), magnitudes.shape)
    return int(first) + 1, int(second) + 1, float(magnitudes.max())


def find_only_voice(surveyed: Survey) -> int:
    """The track, from 1, beside which every other is faint and seldom ahead; 0: there is none."""
    if surveyed.powers.shape[1] < 2:
        return 0
    totals = to_db(surveyed.powers.mean(axis=0))
    main = int(totals.argmax())
    others = np.delete(np.arange(len(totals)), main)
    levels = to_db(surveyed.powers)
    loud = float(np.percentile(to_db(surveyed.mixture_powers), 95)) - SPEECH_DB
    levels = levels[levels.max(axis=1) > loud]
    ahead = (
        (levels[:, others].max(axis=1) > levels[:, main] + AHEAD_DB).mean() if len(levels) else 0
    )
    faint = totals[main] - totals[others].max() > LOPSIDED_DB
    return main + 1 if faint and ahead < SELDOM else 0
