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

from separation.audio.headers import DECODING_ERRORS
from separation.audio.loudness import measure_loudness_lufs
from separation.metrics.score import si_sdr_db
from separation.mixture_checks.names import find_repeated, name_parts
from separation.mixture_checks.reading import read_with_faults
from separation.mixtures.dataset import ReadOptions
from separation.mixtures.signals import Mixture, name_sources
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow, Origin, SourceRef
from separation.text import explain_error

SILENT_PEAK = 1e-4  # three steps of 16 bits
SILENT_DB = -60.0  # of a source, against the mixture
FULL_SCALE = 0.9999
CLIPPED_RUN = 3  # samples
DC_OFFSET = 0.01
STEP = 2.0**-15  # one step of 16 bits
SAME_CORRELATION = 0.9999  # 37 dB: no two recordings come near, one at two gains does
ENERGY_FLOOR = 1e-20


@dataclass(slots=True, kw_only=True)
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


@dataclass(frozen=True)
class Limits:
    """Where what is good ends.

    Attributes:
        min_s: the shortest good mixture.
        level_tolerance_db: how far a level may be off.
    """

    min_s: float = 1.0
    level_tolerance_db: float = 0.1


def examine(row: MixtureRow, options: ReadOptions, limits: Limits) -> Record:
    """Check and measure one mixture by itself.

    Whatever is wrong with its files is a finding and never an error.
    """
    record = Record(name=row.mixture_id)
    if row.fault or row.origin != Origin.EXISTING:
        record.add("bad-row", row.fault)
    if row.fault:
        return record
    root = options.corpora.speech if options.corpora is not None else Path()
    names = name_parts(row, root)
    record.speakers, record.sexes = names.speakers, names.sexes
    record.utterances, record.sources = names.utterances, names.sources
    record.add("same-speaker", find_repeated(names.speakers) if names.speakers else None)
    mixture, faults = read_with_faults(row, options)
    for check in ("unreadable", "wrong-rate", "wrong-channels", "non-finite"):
        if check in faults or check != "non-finite":
            record.add(check, "; ".join(faults.get(check, ())))
    if mixture is not None:
        lengths = faults.get("length-mismatch") or [find_stated_length(mixture)]
        record.add("length-mismatch", "; ".join(lengths))
        _check_signals(record, mixture, options, limits)
    return record


def _check_signals(record: Record, mixture: Mixture, options: ReadOptions, limits: Limits) -> None:
    record.add("too-short", find_too_short(mixture, limits.min_s))
    record.add("non-finite", find_non_finite(mixture))
    record.duration_s = len(mixture.mixture) / mixture.sample_rate
    if record.findings.get("non-finite"):
        return
    for name, check in SIGNAL_CHECKS.items():
        record.add(name, check(mixture))
    twice = find_same_source(mixture) or find_repeated(record.sources)
    record.add("same-source-twice", twice)
    record.peak = float(np.abs(mixture.mixture).max())
    if record.findings.get("silent"):
        return
    record.audio_hash = hashlib.blake2b(mixture.mixture.tobytes(), digest_size=12).hexdigest()
    record.level_differences_db = measure_level_differences(mixture)
    record.input_si_sdr_db = float(
        np.mean([si_sdr_db(source, mixture.mixture) for source in mixture.sources])
    )
    try:
        errors = measure_level_errors(mixture.row, record.level_differences_db, options)
    except DECODING_ERRORS as error:  # a fault behind the part that the mixture is made of
        record.add("unreadable", explain_error(error))
        return
    record.level_errors_db = tuple(errors.values())
    record.add("level-error", find_level_error(errors, limits.level_tolerance_db))


def find_stated_length(mixture: Mixture) -> str:
    """Whether the mixture is as long as its table says, where that says anything."""
    stated, found = mixture.row.length, len(mixture.mixture)
    return "" if stated in (None, found) else f"{found} samples where the table says {stated}"


def find_too_short(mixture: Mixture, min_s: float) -> str:
    """Whether the mixture lasts ``min_s``."""
    duration_s = len(mixture.mixture) / mixture.sample_rate
    return f"{duration_s:.3f} s" if duration_s < min_s else ""


def find_non_finite(mixture: Mixture) -> str:
    """NaN or infinite samples in anything."""
    counts = {name: int((~np.isfinite(part)).sum()) for name, part in mixture.signals().items()}
    return ", ".join(f"{name}: {count} samples" for name, count in counts.items() if count)


def find_silent(mixture: Mixture) -> str:
    """A mixture or source below 1e-4, or a source 60 dB below the mixture."""
    named = zip(name_sources(len(mixture.sources)), mixture.sources, strict=True)
    power = _measure_power(mixture.mixture)
    found = []
    for name, part in [("mixture", mixture.mixture), *named]:
        level_db = 10 * math.log10(max(_measure_power(part), ENERGY_FLOOR) / max(power, 1e-20))
        if np.abs(part).max() < SILENT_PEAK:
            found.append(f"{name}: peak {np.abs(part).max():.1e}")
        elif name != "mixture" and level_db < SILENT_DB:
            found.append(f"{name}: {-level_db:.0f} dB below the mixture")
    return ", ".join(found)


def find_clipped(mixture: Mixture) -> str:
    """Runs at full scale, or samples above it."""
    clipped = {name: _describe_clipping(part) for name, part in mixture.signals().items()}
    return ", ".join(f"{name}: {text}" for name, text in clipped.items() if text)


def _describe_clipping(samples: np.ndarray) -> str:
    size = np.abs(samples)
    hot = size >= FULL_SCALE
    if size.max() > 1.0:
        return f"peak {size.max():.3f}"
    if hot.any() and np.convolve(hot, np.ones(CLIPPED_RUN)).max() > CLIPPED_RUN - 0.5:
        return f"{int(hot.sum())} samples at full scale"
    return ""


def find_dc_offset(mixture: Mixture) -> str:
    """A mean that no microphone should leave; clipping leaves one too, which is found apart."""
    means = {name: float(part.mean(dtype=np.float64)) for name, part in mixture.signals().items()}
    return ", ".join(
        f"{name}: mean {mean:+.4f}"
        for name, mean in means.items()
        if abs(mean) > DC_OFFSET and not _describe_clipping(mixture.signals()[name])
    )


def find_not_the_sum(mixture: Mixture) -> str | None:
    """The largest difference from the sum, where that is more than a step of 16 bits a part.

    Samples at full scale may have been clipped, which is another check's matter. None where the
    noise is not there.
    """
    if mixture.noise is None and mixture.row.mixture_type == "mix_both":
        return None
    parts = list(mixture.parts().values())
    total = np.sum(parts, axis=0, dtype=np.float64)
    whole = np.abs(mixture.mixture) < FULL_SCALE
    for part in parts:
        whole &= np.abs(part) < FULL_SCALE
    worst = float(np.abs(mixture.mixture - total)[whole].max(initial=0.0))
    if worst <= (len(parts) + 0.01) * STEP:
        return ""
    return f"differs by up to {worst:.5f} ({worst / STEP:.0f} steps of 16 bits)"


def find_same_source(mixture: Mixture) -> str:
    """Two references that are one signal, at whatever gain."""
    named = list(zip(name_sources(len(mixture.sources)), mixture.sources, strict=True))
    for (first, a), (second, b) in combinations(named, 2):
        if max(np.abs(a).max(), np.abs(b).max()) < SILENT_PEAK:
            continue  # two silent references are silent, no more
        energy = float(np.sqrt(_measure_power(a) * _measure_power(b)))
        product = float(np.mean(a * b, dtype=np.float64))
        if energy > ENERGY_FLOOR and abs(product) / energy > SAME_CORRELATION:
            return f"{first} and {second} are the same signal"
    return ""


SIGNAL_CHECKS: dict[str, Callable[[Mixture], str | None]] = {
    "silent": find_silent,
    "clipped": find_clipped,
    "dc-offset": find_dc_offset,
    "not-the-sum": find_not_the_sum,
}


def _measure_power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def measure_level_differences(mixture: Mixture) -> tuple[float, ...]:
    """``10 log10(power of source 1 / power of source k)`` for k = 2, 3."""
    first, *others = [_measure_power(source) for source in mixture.sources]
    return tuple(10 * math.log10(first / other) for other in others)


def measure_level_errors(
    row: MixtureRow, differences_db: tuple[float, ...], options: ReadOptions
) -> dict[str, float]:
    """Measured minus asked for, in dB, of every level that the row states.

    ``level_difference_k_db`` is that of source 1 over source k in the mixture as rendered,
    ``source_i_loudness_lufs`` that of the whole source file after its gain (BS.1770, at the
    file's own rate).
    """
    errors = {}
    stated = zip(row.level_differences_db, differences_db, strict=False)
    for number, (asked_db, measured_db) in enumerate(stated, 2):
        if asked_db is not None:
            errors[f"level difference {number}"] = measured_db - asked_db
    if options.corpora is None or row.origin == Origin.EXISTING:
        return errors
    for number, source in enumerate(row.sources, 1):
        if source.loudness_lufs is not None:
            measured_lufs = _measure_source_lufs(source, options.corpora)
            if math.isfinite(measured_lufs):
                errors[f"loudness of s{number}"] = measured_lufs - source.loudness_lufs
    return errors


def _measure_source_lufs(source: SourceRef, corpora: Corpora) -> float:
    """Loudness of a whole source file after its gain; -inf of silence."""
    clip = corpora.open_source(source)
    samples = clip.read(clip.n_samples, 1.0)
    loudness_lufs = measure_loudness_lufs(samples, clip.sample_rate)
    return loudness_lufs + 20 * math.log10(1.0 if source.gain is None else source.gain)


def find_level_error(errors: dict[str, float], tolerance_db: float) -> str | None:
    """Levels off by more than the tolerance; None where no level is stated."""
    if not errors:
        return None
    wrong = {name: error for name, error in errors.items() if not abs(error) <= tolerance_db}
    return ", ".join(f"{name}: {error:+.2f} dB" for name, error in wrong.items())
