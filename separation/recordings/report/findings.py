"""What is wrong with a separated recording, and what to do: of what was measured, in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from separation.models import shipped
from separation.recordings.report import thresholds
from separation.recordings.report.assess import Assessment, lacks_speech
from separation.recordings.report.conditions import Conditions
from separation.recordings.report.consequences import find_consequence
from separation.recordings.report.dnsmos import INSTALL_QUALITY
from separation.recordings.report.languages import is_heard
from separation.recordings.report.suspicions import Span
from separation.recordings.report.words import Languages, Sentences
from separation.recordings.speech_networks import INSTALL

Kind = Literal["fault", "limit", "note"]
ORDER: tuple[Kind, ...] = ("fault", "limit", "note")


@dataclass(frozen=True, kw_only=True)
class Note:
    """A finding in numbers.

    Attributes:
        code: of its sentences.
        kind: ``fault``: something went wrong; ``limit``: it makes the recording hard; ``note``.
        values: of the sentences.
        spans: seconds to listen to.
        track: from 1, in which; 0: in the recording.
        level: of the condition, by which its measured consequence is found; None: it has none.
        condition: of the consequence, where it is not called as the finding is.
    """

    code: str
    kind: Kind
    values: Mapping[str, object] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    track: int = 0
    level: float | None = None
    condition: str = ""

    def describe_consequence(self, words: Sentences) -> str:
        """What that costs, in a sentence; empty: there is no such figure to expect."""
        if self.level is None:
            return ""
        found = find_consequence(self.condition or self.code, self.level)
        if found is None:
            return words.say("consequence", "not_measured")
        condition = words.say("consequence", found.code, level=found.level, **found.about)
        values = {"n": found.n, "value": found.value_db, "clean": found.clean_db}
        return words.say("consequence", "measured", condition=condition, **values)


def list_notes(assessed: Assessment) -> list[Note]:
    """All findings, faults first."""
    notes = [*_list_faults(assessed), *_list_conditions(assessed), *_list_missing(assessed)]
    return sorted(notes, key=lambda note: ORDER.index(note.kind))


def _list_faults(assessed: Assessment) -> Iterator[Note]:
    """What went wrong."""
    measured, conditions = assessed.record.measured, assessed.conditions
    if has_no_speech(assessed):
        values = {"speech_s": conditions.speech_s, "duration_s": assessed.duration_s}
        yield Note(code="no_speech", kind="fault", values=values)
        return
    if measured["way"] == "one voice":
        yield Note(code="one_voice", kind="note")
        return
    if (assessed.n_voices or 0) > len(assessed.tracks):
        yield Note(code="three_voices", kind="fault", values={"n": len(assessed.tracks)})
    for own in assessed.suspicions:
        values = {"track": own.track, "seconds": own.seconds, "value": own.value}
        kind: Kind = "limit" if own.kind == "leak" else "fault"
        yield Note(code=own.kind, kind=kind, values=values, spans=own.spans, track=own.track)
    unsure = [float(second) for second in measured["suspected_swaps_s"]]
    if unsure:
        spans = tuple((second, second + 1) for second in unsure)
        yield Note(code="unsure", kind="limit", values={"n": len(unsure)}, spans=spans)
    if learned := measured.get("adaptation"):
        yield _note_learned(**learned)


def _note_learned(
    solo_s: Sequence[float], before_db: float, after_db: float, *, is_used: bool
) -> Note:
    """How well the model separates these very voices, by what it learned of them."""
    value_db = after_db if is_used else before_db
    values = {"value": value_db, "before": before_db, "solo_s": min(solo_s)}
    return Note(
        code="learned",
        kind="limit" if value_db < thresholds.HARD_VOICES_DB else "note",
        values=values,
    )


def has_no_speech(assessed: Assessment) -> bool:
    """Whether there is nothing to separate."""
    return lacks_speech(assessed.n_voices, assessed.conditions.speech_s)


def _list_conditions(assessed: Assessment) -> Iterator[Note]:
    """What makes it hard."""
    own, speaks = assessed.conditions, not has_no_speech(assessed)
    rate_khz = assessed.record.measured["sample_rate"] / 1000
    if speaks and is_narrow(own.highest_hz, rate_khz * 1000):
        values = {"lowest_hz": own.lowest_hz, "highest_hz": own.highest_hz}
        values |= {"highest_khz": own.highest_hz / 1000, "rate_khz": rate_khz}
        yield Note(code="narrow", kind="limit", values=values, level=0.0)
    alone = assessed.record.measured["way"] == "one voice"
    musical = is_musical(own.tones, own.pause_tones, own.snr_db)  # counts as noise in the pauses
    if speaks and not musical and is_noisy(own.snr_db, own.snr_from, alone=alone):
        yield Note(code="noise", kind="limit", values={"snr_db": own.snr_db}, level=own.snr_db)
    if assessed.clipping.share > thresholds.CLIPPED:
        yield _note_clipping(assessed)
    if speaks and own.decay_s is not None and is_reverberant(own.decay_s, own.snr_db):
        rt60_s = estimate_rt60(own.decay_s)
        values = {"decay_s": own.decay_s, "rt60_s": rt60_s}
        yield Note(code="reverberant", kind="limit", values=values, level=rt60_s)
    if musical:
        yield _note_music(own, speaks=speaks)
    gap_db = assessed.level_gap_db
    if speaks and gap_db > thresholds.UNEQUAL_DB:
        yield Note(code="unequal", kind="limit", values={"gap_db": gap_db}, level=gap_db)


def is_narrow(highest_hz: float, rate: float) -> bool:
    """Whether a file could hold what its speech does not."""
    return highest_hz < min(thresholds.NARROW_HZ, 0.8 * rate / 2)


def is_noisy(snr_db: float, snr_from: str, *, alone: bool) -> bool:
    """Whether noise is heard; without pauses a second voice looks like noise, so it is left open.

    Args:
        snr_db: speech over noise.
        snr_from: ``pauses`` or ``distribution``.
        alone: one voice speaks.
    """
    return snr_db < thresholds.NOISY_DB and (snr_from == "pauses" or alone)


def is_reverberant(decay_s: float, snr_db: float) -> bool:
    """Whether decays are a room's; in noise they are not seen."""
    return decay_s > thresholds.REVERBERANT_S and snr_db > thresholds.REVERBERANT_SNR_DB


def is_musical(tones: float, pause_tones: float | None, snr_db: float) -> bool:
    """Whether tones last as in music, all the time or, not too faint, where nobody speaks."""
    between = (pause_tones or 0.0) > thresholds.PAUSE_TONES and snr_db < thresholds.FAINT_DB
    return tones > thresholds.TONES or between


def _note_music(own: Conditions, *, speaks: bool) -> Note:
    values = {"tones": 100 * max(own.tones, own.pause_tones or 0.0)}
    if not speaks:
        return Note(code="music_alone", kind="limit", values=values)
    return Note(code="music", kind="limit", values=values, level=own.snr_db)


def estimate_rt60(decay_s: float) -> float:
    """A reverberation time in s from the fast decays, by those of training speakers in rooms."""
    decays, times = zip(*thresholds.RT60_BY_DECAY, strict=True)
    return round(float(np.interp(decay_s, decays, times)), 2)


def _note_clipping(assessed: Assessment) -> Note:
    clipping = assessed.clipping
    values = {"share": 100 * clipping.share, "n_clipped": clipping.n_clipped}
    spans = tuple((float(second), float(second + 1)) for second in clipping.seconds)
    return Note(
        code="clipped", kind="limit", values=values, spans=spans, level=100 * clipping.share
    )


def _list_missing(assessed: Assessment) -> Iterator[Note]:
    """What was not looked at."""
    if not (assessed.has_encoder and assessed.has_detector):
        yield Note(code="no_encoder", kind="note", values={"install": f"`{INSTALL}`"})
    if not assessed.has_quality:
        yield Note(code="no_quality", kind="note", values={"install": f"`{INSTALL_QUALITY}`"})
    yield from _list_language(assessed)


def _list_language(assessed: Assessment) -> Iterator[Note]:
    """Where the model heard another language, as far as that is said; nothing here measures it."""
    spoken, trained_on = assessed.spoken, assessed.trained_on
    is_shipped = str(assessed.record.measured["model"]).startswith(shipped.NAME)
    level = 0.0 if is_shipped else None
    is_split = assessed.record.measured["way"] != "one voice"
    if not trained_on or not is_split or has_no_speech(assessed):
        return
    if not spoken:
        yield Note(
            code="language", kind="note", values={"heard": Languages(trained_on)}, level=level
        )
    elif not is_heard(spoken, trained_on):
        values = {"heard": Languages(trained_on), "spoken": Languages((spoken,))}
        yield Note(
            code="other_language", kind="limit", values=values, level=level, condition="language"
        )
