"""What can be wrong with one mixture, each check under a stable name; and its measures.

A check returns None where it does not apply, an empty text where all is well, and otherwise
what it found.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from separation.audio.loudness import measure_loudness_lufs
from separation.metrics.score import si_sdr_db
from separation.mixture_checks.names import find_repeated, name_parts
from separation.mixtures.reading import DECODING_ERRORS, Setting, Signals, read_signals
from separation.mixtures.signals import name_sources
from separation.mixtures.table import count_sources
from separation.text import explain_error

SILENT_PEAK = 1e-4  # three steps of 16 bits
SILENT_DB = -60.0  # of a source, against the mixture
FULL_SCALE = 0.9999
CLIPPED_RUN = 3  # samples
DC_OFFSET = 0.01
STEP = 2.0**-15  # one step of 16 bits
SAME_CORRELATION = 0.9999  # 37 dB: no two recordings come near, one at two gains does
ENERGY_FLOOR = 1e-20


@dataclass(slots=True)
class Record:
    """What is kept of one mixture.

    Attributes:
        findings: by check, what was found.
        checked: the checks that applied.
        speakers: of the sources; empty where not known.
        utterances: that the sources are made of; empty where not known.
        sources: the same with the segment that is used of them, one name a source.
        level_differences_db: power of source 1 against source 2 (and 3).
        level_errors_db: measured minus asked for; empty where nothing was asked for.
        audio_hash: of the mixture's samples; empty where it is silent or not there.
    """

    name: str
    findings: dict[str, str] = field(default_factory=dict)
    checked: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()
    utterances: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    duration_s: float | None = None
    peak: float | None = None
    input_si_sdr_db: float | None = None
    level_differences_db: tuple[float, ...] = ()
    level_errors_db: tuple[float, ...] = ()
    audio_hash: str = ""

    def add(self, check: str, outcome: str | None) -> None:
        """Keep a check's outcome."""
        if outcome is not None:
            self.checked += (check,)
        if outcome:
            self.findings[check] = outcome


def examine(row: dict[str, str], setting: Setting) -> Record:
    """Check and measure one mixture by itself.

    Whatever is wrong with its files is a finding and never an error.
    """
    record = Record(row["mixture_ID"])
    if "row_fault" in row:
        record.add("bad-row", row["row_fault"])
        return record
    if "mixture_path" not in row:
        record.add("bad-row", "")
    root = setting.corpora.speech if setting.corpora is not None else Path()
    names = name_parts(row, root)
    record.speakers, record.sexes = names.speakers, names.sexes
    record.utterances, record.sources = names.utterances, names.sources
    record.add("same-speaker", find_repeated(names.speakers) if names.speakers else None)
    signals, faults = read_signals(row, setting)
    for check in ("unreadable", "wrong-rate", "wrong-channels", "non-finite"):
        if check in faults or check != "non-finite":
            record.add(check, "; ".join(faults.get(check, ())))
    if signals is not None:
        _check_signals(record, signals, row, setting)
    return record


def _check_signals(record: Record, signals: Signals, row: dict[str, str], setting: Setting) -> None:
    record.add("length-mismatch", find_length_mismatch(signals))
    record.add("too-short", find_too_short(signals, setting.min_s))
    record.add("non-finite", find_non_finite(signals))
    record.duration_s = len(signals.mixture) / signals.sample_rate
    if record.findings.get("non-finite"):
        return
    common = signals.cut()
    for name, check in SIGNAL_CHECKS.items():
        record.add(name, check(common))
    twice = find_same_source(common) or find_repeated(record.sources)
    record.add("same-source-twice", twice)
    record.peak = float(np.abs(signals.mixture).max())
    if record.findings.get("silent"):
        return
    record.audio_hash = hashlib.blake2b(signals.mixture.tobytes(), digest_size=12).hexdigest()
    record.level_differences_db = measure_level_differences(common)
    record.input_si_sdr_db = float(
        np.mean([si_sdr_db(source, common.mixture) for source in common.sources])
    )
    try:
        errors = measure_level_errors(row, record.level_differences_db, setting)
    except DECODING_ERRORS as error:  # a fault behind the part that the mixture is made of
        record.add("unreadable", explain_error(error))
        return
    record.level_errors_db = tuple(errors.values())
    record.add("level-error", find_level_error(errors, setting.level_tolerance_db))


def find_length_mismatch(signals: Signals) -> str:
    """Whether all parts are as long as the mixture, and as the table says."""
    lengths = {name: len(samples) for name, samples in signals.all().items()}
    if signals.stated_length is not None:
        lengths["table"] = signals.stated_length
    if len(set(lengths.values())) == 1:
        return ""
    return ", ".join(f"{name} {length}" for name, length in lengths.items()) + " samples"


def find_too_short(signals: Signals, min_s: float) -> str:
    """Whether the mixture lasts ``min_s``."""
    duration_s = len(signals.mixture) / signals.sample_rate
    return f"{duration_s:.3f} s" if duration_s < min_s else ""


def find_non_finite(signals: Signals) -> str:
    """NaN or infinite samples in anything."""
    counts = {name: int((~np.isfinite(part)).sum()) for name, part in signals.all().items()}
    return ", ".join(f"{name}: {count} samples" for name, count in counts.items() if count)


def find_silent(signals: Signals) -> str:
    """A mixture or source below 1e-4, or a source 60 dB below the mixture."""
    named = zip(name_sources(len(signals.sources)), signals.sources, strict=True)
    power = _measure_power(signals.mixture)
    found = []
    for name, part in [("mixture", signals.mixture), *named]:
        level_db = 10 * math.log10(max(_measure_power(part), ENERGY_FLOOR) / max(power, 1e-20))
        if np.abs(part).max() < SILENT_PEAK:
            found.append(f"{name}: peak {np.abs(part).max():.1e}")
        elif name != "mixture" and level_db < SILENT_DB:
            found.append(f"{name}: {-level_db:.0f} dB below the mixture")
    return ", ".join(found)


def find_clipped(signals: Signals) -> str:
    """Runs at full scale, or samples above it."""
    told = {name: _tell_clipping(part) for name, part in signals.all().items()}
    return ", ".join(f"{name}: {text}" for name, text in told.items() if text)


def _tell_clipping(samples: np.ndarray) -> str:
    size = np.abs(samples)
    hot = size >= FULL_SCALE
    if size.max() > 1.0:
        return f"peak {size.max():.3f}"
    if hot.any() and np.convolve(hot, np.ones(CLIPPED_RUN)).max() > CLIPPED_RUN - 0.5:
        return f"{int(hot.sum())} samples at full scale"
    return ""


def find_dc_offset(signals: Signals) -> str:
    """A mean that no microphone should leave; clipping leaves one too, which is told apart."""
    means = {name: float(part.mean(dtype=np.float64)) for name, part in signals.all().items()}
    return ", ".join(
        f"{name}: mean {mean:+.4f}"
        for name, mean in means.items()
        if abs(mean) > DC_OFFSET and not _tell_clipping(signals.all()[name])
    )


def find_not_the_sum(signals: Signals) -> str | None:
    """The largest difference from the sum, where that is more than a step of 16 bits a part.

    Samples at full scale may have been clipped, which is another check's matter. None where the
    noise is not there.
    """
    if not signals.adds_up:
        return None
    parts = list(signals.parts().values())
    total = np.sum(parts, axis=0, dtype=np.float64)
    whole = np.abs(signals.mixture) < FULL_SCALE
    for part in parts:
        whole &= np.abs(part) < FULL_SCALE
    worst = float(np.abs(signals.mixture - total)[whole].max(initial=0.0))
    if worst <= (len(parts) + 0.01) * STEP:
        return ""
    return f"differs by up to {worst:.5f} ({worst / STEP:.0f} steps of 16 bits)"


def find_same_source(signals: Signals) -> str:
    """Two references that are one signal, at whatever gain."""
    named = list(zip(name_sources(len(signals.sources)), signals.sources, strict=True))
    for (first, a), (second, b) in combinations(named, 2):
        if max(np.abs(a).max(), np.abs(b).max()) < SILENT_PEAK:
            continue  # two silent references are silent, no more
        energy = float(np.sqrt(_measure_power(a) * _measure_power(b)))
        product = float(np.mean(a * b, dtype=np.float64))
        if energy > ENERGY_FLOOR and abs(product) / energy > SAME_CORRELATION:
            return f"{first} and {second} are the same signal"
    return ""


SIGNAL_CHECKS: dict[str, Callable[[Signals], str | None]] = {
    "silent": find_silent,
    "clipped": find_clipped,
    "dc-offset": find_dc_offset,
    "not-the-sum": find_not_the_sum,
}


def _measure_power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def measure_level_differences(signals: Signals) -> tuple[float, ...]:
    """``10 log10(power of source 1 / power of source k)`` for k = 2, 3."""
    first, *others = [_measure_power(source) for source in signals.sources]
    return tuple(10 * math.log10(first / other) for other in others)


def measure_level_errors(
    row: dict[str, str], differences_db: tuple[float, ...], setting: Setting
) -> dict[str, float]:
    """Measured minus asked for, in dB, of every level that the row states.

    ``level_difference_k_db`` is that of source 1 over source k in the mixture as rendered,
    ``source_i_loudness_lufs`` that of the whole source file after its gain (BS.1770, at the
    file's own rate).
    """
    errors = {}
    for number, measured_db in enumerate(differences_db, 2):
        asked_db = row.get(f"level_difference_{number}_db")
        if asked_db:
            errors[f"level difference {number}"] = measured_db - float(asked_db)
    for number in range(1, count_sources(row) + 1):
        asked_lufs = row.get(f"source_{number}_loudness_lufs")
        if asked_lufs and setting.corpora is not None and "mixture_path" not in row:
            measured_lufs = _measure_source_lufs(row, number, setting)
            if math.isfinite(measured_lufs):
                errors[f"loudness of s{number}"] = measured_lufs - float(asked_lufs)
    return errors


def _measure_source_lufs(row: dict[str, str], number: int, setting: Setting) -> float:
    """Loudness of a whole source file after its gain; -inf where it cannot be told."""
    assert setting.corpora is not None
    clip = setting.corpora.open_listed(row, number)
    samples = clip.read(clip.n_samples, 1.0)
    loudness_lufs = measure_loudness_lufs(samples, clip.sample_rate)
    return loudness_lufs + 20 * math.log10(float(row[f"source_{number}_gain"]))


def find_level_error(errors: dict[str, float], tolerance_db: float) -> str | None:
    """Levels off by more than the tolerance; None where no level is stated."""
    if not errors:
        return None
    wrong = {name: error for name, error in errors.items() if not abs(error) <= tolerance_db}
    return ", ".join(f"{name}: {error:+.2f} dB" for name, error in wrong.items())
