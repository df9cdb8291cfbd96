"""Everything that is measured of a separated recording without references."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separation.recordings.evidence import SPEECH
from separation.recordings.record import Record
from separation.recordings.report.conditions import Conditions, measure_conditions
from separation.recordings.report.dnsmos import Quality, choose_windows, load_quality
from separation.recordings.report.languages import find_trained_on
from separation.recordings.report.signals import (
    Clipping,
    Separated,
    list_track_files,
    measure_levels,
)
from separation.recordings.report.streams import describe_streams
from separation.recordings.report.suspicions import (
    Span,
    Suspicion,
    join_ticks,
    list_suspicions,
    trace_voices,
)
from separation.recordings.speech_networks import TICK_S, load_encoder
from separation.recordings.turns import load_turns

LEAST_SPEECH_S = 0.5


@dataclass(frozen=True, kw_only=True)
class TrackReport:
    """One track.

    Attributes:
        file: its name.
        spans: seconds in which its voice speaks, from the RTTM.
        level_db: of its speech, full scale at 0; None: it does not speak.
        before: DNSMOS of the recording where this voice speaks; None: not measured.
        after: of the track in the same seconds.
    """

    file: str
    spans: tuple[Span, ...]
    level_db: float | None
    before: Quality | None
    after: Quality | None

    @property
    def speech_s(self) -> float:
        """Seconds of speech."""
        return sum(stop - start for start, stop in self.spans)


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What was measured of a recording and its tracks.

    Attributes:
        record: what ``separate`` wrote.
        duration_s: of the recording.
        conditions: what in it is hard.
        clipping: of its samples.
        tracks: in their order.
        overlap: seconds in which several voices speak.
        suspicions: of what went wrong.
        consistency: of each track ``(second, likeness with its voice less that with the other)``.
        has_encoder, has_detector, has_quality: whether the networks that know voices, speech and
            quality are installed.
        spoken: code of the language, as it was given; empty: it was not.
        trained_on: codes of the languages that the model heard; none: that is not known.
    """

    record: Record
    duration_s: float
    conditions: Conditions
    clipping: Clipping
    tracks: tuple[TrackReport, ...]
    overlap: tuple[Span, ...]
    suspicions: tuple[Suspicion, ...]
    consistency: tuple[tuple[tuple[float, float], ...], ...]
    has_encoder: bool
    has_detector: bool
    has_quality: bool
    spoken: str
    trained_on: tuple[str, ...]

    @property
    def n_voices(self) -> int | None:
        """See :func:`count_voices`."""
        return count_voices(self.record)

    @property
    def level_gap_db(self) -> float:
        """Between the loudest and the faintest voice of those that speak for 1 s and more."""
        levels = [
            own.level_db for own in self.tracks if own.level_db is not None and own.speech_s >= 1
        ]
        return max(levels) - min(levels) if len(levels) > 1 else 0.0


def count_voices(record: Record) -> int | None:
    """Voices that ``separate`` counted; None: it did not, or could not say."""
    count = record.measured["count"]
    return int(count["n_voices"]) if count and count["is_known"] else None


def lacks_speech(n_voices: int | None, speech_s: float) -> bool:
    """Whether there is nothing to separate."""
    return n_voices == 0 or speech_s < LEAST_SPEECH_S


def assess(place: Path, separated: Separated, spoken: str = "") -> Assessment:
    """Measure a recording and its tracks.

    Args:
        place: of its NAME.json.
        separated: its signals.
        spoken: code of its language; empty: nobody said it.
    """
    record, speech = separated.record, separated.speech
    conditions = measure_conditions(separated.recording, speech)
    active = read_rttm(place.with_suffix(".rttm"), len(separated.tracks), len(speech))
    active &= not lacks_speech(count_voices(record), conditions.speech_s)
    encoder = load_encoder()
    streams = describe_streams(
        separated.recording, separated.tracks, speech, encoder, load_turns().project
    )
    is_split = len(separated.tracks) > 1 and record.measured["way"] != "one voice"
    return Assessment(
        record=record,
        duration_s=float(record.measured["duration_s"]),
        conditions=conditions,
        clipping=separated.clipping,
        tracks=tuple(
            _assess_track(name, separated, k, active[:, k])
            for k, name in enumerate(list_track_files(record))
        ),
        overlap=join_ticks((active.sum(axis=1) > 1) & (speech > SPEECH)),
        suspicions=tuple(list_suspicions(streams)) if is_split else (),
        consistency=trace_voices(streams) if is_split else (),
        has_encoder=encoder is not None,
        has_detector=separated.has_detector,
        has_quality=load_quality() is not None,
        spoken=spoken,
        trained_on=find_trained_on(str(record.measured["model"])),
    )


def _assess_track(file: str, separated: Separated, number: int, spoken: np.ndarray) -> TrackReport:
    network = load_quality()
    track = separated.tracks[number]
    starts = choose_windows(spoken, TICK_S)
    is_rated = network is not None and len(starts) > 0
    return TrackReport(
        file=file,
        spans=join_ticks(spoken),
        level_db=measure_speech_level(track, spoken),
        before=network.rate(separated.recording, starts) if is_rated and network else None,
        after=network.rate(track, starts) if is_rated and network else None,
    )


def measure_speech_level(track: np.ndarray, spoken: np.ndarray) -> float | None:
    """Mean level in dB of the ticks in which a voice speaks; None: in none."""
    levels = measure_levels(track)[: len(spoken)]
    heard = levels[spoken[: len(levels)]]
    return round(float(10 * np.log10(np.mean(10 ** (heard / 10)))), 1) if len(heard) else None


def read_rttm(path: Path, n_src: int, n_ticks: int) -> np.ndarray:
    """Who speaks when, bool ``(n_ticks, n_src)``, of the RTTM file that ``separate`` wrote."""
    spoken = np.zeros((n_ticks, n_src), bool)
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split()
        start, length = float(fields[3]), float(fields[4])
        first, last = round(start / TICK_S), round((start + length) / TICK_S)
        spoken[first : max(last, first + 1), int(fields[7][1:]) - 1] = True
    return spoken
