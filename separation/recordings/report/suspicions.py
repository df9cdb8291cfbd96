"""Where voices may have gone wrong: two in a track, swaps, merges, leaks, nothing separated.

References are not needed, and not had: these are suspicions. How often they are right is measured
by ``benchmarks/recording_reports``, see docs/recording-reports.md.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from separation.recordings.activity import find_runs
from separation.recordings.report import thresholds
from separation.recordings.report.streams import HOP_S, Streams, average_windows
from separation.recordings.speech_networks import TICK_S, WINDOW_S
from separation.recordings.turns import find_voices

Kind = Literal["two_voices", "swap", "merge", "leak", "alike"]
Span = tuple[float, float]
FEWEST_WINDOWS = 6
LEAK_TICKS = 5  # 0.5 s, over which tracks are compared


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """One thing that may have gone wrong.

    Attributes:
        kind: what.
        track: from 1, in which it is heard; 0: in all.
        spans: seconds, begin and end.
        value: what it was seen by, see the traits of the kinds.
    """

    kind: Kind
    track: int
    spans: tuple[Span, ...]
    value: float

    @property
    def seconds(self) -> float:
        """How long, in all."""
        return sum(stop - start for start, stop in self.spans)


@dataclass(frozen=True, kw_only=True)
class TrackTraits:
    """What one or two voices in a track are told by; likeness is a cosine.

    Attributes:
        n_windows: in which the track alone is loud.
        gain: by how much its windows are more like the nearer of two centres than like one for all.
        likeness: of the two centres.
        smaller: share of the windows in the smaller cluster.
    """

    n_windows: int
    gain: float
    likeness: float
    smaller: float

    @property
    def score(self) -> float:
        """The larger, the more it looks like two voices."""
        return self.gain - 0.1 * self.likeness if self.smaller >= thresholds.SMALLEST else 0.0


@dataclass(frozen=True, kw_only=True)
class Homes:
    """Whose voice is in the windows of two tracks.

    Attributes:
        away: bool ``(2, n)``: the track is loud, and its voice the other track's.
        clear: bool ``(2, n)``: the track is the louder one by far.
        likeness: of the two voices.
        margin: ``(2, n)``, by how much a window is more like its track's voice than the other.
    """

    away: np.ndarray
    clear: np.ndarray
    likeness: float
    margin: np.ndarray


def list_suspicions(streams: Streams) -> list[Suspicion]:
    """All suspicions of the tracks of a recording, of two tracks or more."""
    alike = measure_alike(streams)
    found = [own for k in range(streams.n_src) for own in _suspect_track(streams, k)]
    merged = {own.track for own in found if own.kind == "merge"}
    if streams.n_src == 2 and not merged:
        found += _suspect_swaps(streams)
    if alike is None or alike <= thresholds.ALIKE:
        return found + list_leaks(streams)
    spans = join_ticks(find_overlap(streams))  # each has both there, which leaks would repeat
    return [Suspicion(kind="alike", track=0, spans=spans, value=round(alike, 3)), *found]


def find_clear(streams: Streams) -> np.ndarray:
    """Windows in which a track is loud and the others are far below, bool ``(n_src, n)``."""
    powers = 10 ** (streams.levels / 10)
    means = 10 * np.log10(average_windows(powers, streams.starts_s) + 1e-12)
    others = np.stack([np.delete(means, k, axis=0).max(axis=0) for k in range(streams.n_src)])
    return (means > others + thresholds.CLEAR_DB) & (streams.spoken >= thresholds.SPOKEN)


def measure_track(streams: Streams, track: int) -> TrackTraits:
    """What one or two voices in a track are told by."""
    points = streams.points[track][find_clear(streams)[track]]
    if len(points) < FEWEST_WINDOWS:
        return TrackTraits(n_windows=len(points), gain=0.0, likeness=1.0, smaller=0.0)
    centres = find_voices(points)
    likeness = points @ centres.T
    counts = np.bincount(likeness.argmax(axis=1), minlength=2)
    together = float(np.linalg.norm(points.mean(axis=0)))
    return TrackTraits(
        n_windows=len(points),
        gain=round(float(likeness.max(axis=1).mean()) - together, 4),
        likeness=round(float(centres[0] @ centres[1]), 4),
        smaller=round(float(counts.min() / len(points)), 4),
    )


def _suspect_track(streams: Streams, track: int) -> list[Suspicion]:
    """Two voices in a track; a merge where the others have hardly anything of their own."""
    traits = measure_track(streams, track)
    clear = find_clear(streams)
    elsewhere = np.delete(clear.sum(axis=1), track).sum()
    merged = elsewhere < thresholds.MERGED * clear.sum() and is_alone(streams, track)
    if traits.score <= (thresholds.MERGED_VOICES if merged else thresholds.TWO_VOICES):
        return []
    points = streams.points[track]
    centres = find_voices(points[clear[track]])
    nearest = (points @ centres.T).argmax(axis=1)
    counts = np.bincount(nearest[clear[track]], minlength=2)
    spans = join_windows(streams, clear[track] & (nearest == counts.argmin()))
    kind: Kind = "merge" if merged else "two_voices"
    return [Suspicion(kind=kind, track=track + 1, spans=spans, value=traits.score)]


def is_alone(streams: Streams, track: int) -> bool:
    """Whether the other tracks are silent in most of what is heard."""
    others = np.delete(streams.active, track, axis=1).any(axis=1)
    heard = streams.active.any(axis=1).sum()
    return bool(others.sum() < thresholds.MERGED_ACTIVE * max(1, heard))


def find_homes(streams: Streams) -> Homes | None:
    """Whose voice is in the windows of two tracks; None: there is too little to say."""
    clear = find_clear(streams)
    points = np.concatenate([streams.points[k][clear[k]] for k in range(2)])
    if len(points) < FEWEST_WINDOWS:
        return None
    centres = find_voices(points)
    likeness = streams.points @ centres.T
    lead = likeness[..., 0] - likeness[..., 1]
    first = np.sign(lead[0][clear[0]]).sum() - np.sign(lead[1][clear[1]]).sum()
    sign = 1.0 if first >= 0 else -1.0
    margin = np.stack([sign * lead[0], -sign * lead[1]])
    return Homes(
        away=clear & (margin < -thresholds.MARGIN),
        clear=clear,
        likeness=float(centres[0] @ centres[1]),
        margin=margin,
    )


def trace_voices(streams: Streams) -> tuple[tuple[tuple[float, float], ...], ...]:
    """How much more each window of two tracks is like its track's voice than like the other.

    Returns:
        of each track ``(middle of the window in s, difference of cosines)``, where it is heard.
    """
    homes = find_homes(streams) if streams.n_src == 2 else None
    if homes is None:
        return ()
    middles = streams.starts_s + WINDOW_S / 2
    return tuple(
        tuple(
            (round(float(middles[n]), 2), round(float(homes.margin[k][n]), 3))
            for n in np.flatnonzero(streams.spoken[k] >= thresholds.SPOKEN)
        )
        for k in range(2)
    )


def _suspect_swaps(streams: Streams) -> list[Suspicion]:
    homes = find_homes(streams)
    if homes is None or homes.likeness > thresholds.LIKELY_ONE:
        return []
    found = []
    for track in range(2):
        spans = join_windows(streams, keep_runs(homes.away[track], homes.clear[track]))
        spans = tuple(own for own in spans if own[1] - own[0] >= thresholds.SHORTEST_SWAP_S)
        if spans:
            value = round(float(-homes.margin[track][homes.away[track]].mean()), 3)
            found.append(Suspicion(kind="swap", track=track + 1, spans=spans, value=value))
    return found


def keep_runs(away: np.ndarray, clear: np.ndarray, n_least: int = 2) -> np.ndarray:
    """Windows that are away as several clear ones in a row are, bool ``(n,)``."""
    places = np.flatnonzero(clear)
    kept = np.zeros_like(away)
    for start, stop in find_runs(away[places]):
        if stop - start >= n_least:
            kept[places[start:stop]] = True
    return kept


def list_leaks(streams: Streams) -> list[Suspicion]:
    """Where the louder track is heard in a fainter one: their waveforms are alike there."""
    found = []
    for track in range(streams.n_src):
        leaking, level = find_leaks(streams, track)
        spans = tuple(own for own in join_ticks(leaking) if own[1] - own[0] >= 0.5)
        if sum(stop - start for start, stop in spans) >= thresholds.SHORTEST_LEAK_S:
            found.append(Suspicion(kind="leak", track=track + 1, spans=spans, value=level))
    return found


def find_leaks(streams: Streams, track: int) -> tuple[np.ndarray, float]:
    """Ticks in which a track has the louder one's voice, bool ``(t,)``, and how loud in dB."""
    window = np.ones(LEAK_TICKS)
    gram = np.apply_along_axis(np.convolve, 0, streams.gram, window, "same")
    own = gram[:, track, track]
    others = [k for k in range(streams.n_src) if k != track]
    louder = np.array(others)[gram[:, others, others].argmax(axis=1)]
    places = np.arange(len(gram))
    other, cross = gram[places, louder, louder], gram[places, track, louder]
    correlation = np.abs(cross) / np.sqrt(np.maximum(own * other, 1e-20))
    level = 20 * np.log10(np.maximum(np.abs(cross), 1e-12) / np.maximum(other, 1e-12))
    leaking = (correlation > thresholds.LEAK_CORRELATION) & (level > thresholds.LEAK_DB)
    leaking &= (other > own) & streams.active[places, louder]
    mean = round(float(np.median(level[leaking])), 1) if leaking.any() else -120.0
    return leaking, mean


def find_overlap(streams: Streams) -> np.ndarray:
    """Ticks in which at least two tracks are loud, within 12 dB of each other, bool ``(t,)``."""
    ordered = np.sort(streams.levels, axis=1)
    near = ordered[:, -1] - ordered[:, -2] < 12
    return near & (streams.active.sum(axis=1) >= 2)


def measure_alike(streams: Streams) -> float | None:
    """Correlation of the two loudest tracks where both are heard, 0 to 1; None: in below 2 s."""
    overlap = find_overlap(streams)
    if overlap.sum() * TICK_S < 2:
        return None
    gram = streams.gram[overlap].sum(axis=0)
    sizes = np.sqrt(np.maximum(np.diag(gram), 1e-20))
    return float(np.abs(np.triu(gram / np.outer(sizes, sizes), 1)).max())


def join_windows(streams: Streams, chosen: np.ndarray) -> tuple[Span, ...]:
    """Seconds of windows, those that touch joined; a window stands for its middle 0.8 s."""
    margin = (WINDOW_S - 2 * HOP_S) / 2
    spans: list[Span] = []
    for start in streams.starts_s[chosen]:
        begin, end = float(start) + margin, float(start) + WINDOW_S - margin
        if spans and begin - spans[-1][1] <= HOP_S + 1e-6:
            begin = spans.pop()[0]
        spans.append((round(begin, 1), round(end, 1)))
    return tuple(spans)


def join_ticks(chosen: np.ndarray, gap: int = 3) -> tuple[Span, ...]:
    """Seconds of runs of ticks, those joined between which few are missing."""
    spans: list[Span] = []
    for start, stop in find_runs(chosen):
        begin, end = start * TICK_S, stop * TICK_S
        if spans and begin - spans[-1][1] <= gap * TICK_S + 1e-6:
            begin = spans.pop()[0]
        spans.append((round(begin, 1), round(end, 1)))
    return tuple(spans)
