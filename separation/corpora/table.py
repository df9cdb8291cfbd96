"""Corpus tables: one row an utterance, whatever the corpus."""

import dataclasses
import hashlib
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separation.audio.files import read_mono
from separation.audio.loudness import measure_loudness_lufs
from separation.config.schema import CorpusConf
from separation.corpora.plugin import Recording, fingerprint_recordings
from separation.errors import UserError
from separation.files import format_rows, hash_text, read_rows
from separation.jobs import Journal, run_jobs
from separation.text import list_first, list_lines

logger = logging.getLogger(__name__)

MEASURES = 2  # count up when _measure measures otherwise: older results are not taken then
SILENCE_PEAK = 1e-4
FULL_SCALE = 32766 / 32768
CLIPPED_RUN = 3
TOO_SHORT, COPY = "too short", "a copy"


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """An utterance: a row of the corpus table."""

    utterance: str
    speaker: str
    sex: str
    split: str
    path: str
    n_samples: int
    sample_rate: int
    loudness_lufs: float
    peak: float
    channel: str
    prompt: str
    transcript: str
    subset: str
    age: str = ""
    accent: str = ""
    n_clipped: int = 0  # samples in runs of at least three at full scale

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate


@dataclass(frozen=True)
class Scan:
    """What decoding every recording found.

    Attributes:
        utterances: those kept.
        left_out: path -> why, of the others.
    """

    utterances: list[Utterance]
    left_out: dict[str, str]


def scan_recordings(
    recordings: list[Recording],
    root: Path,
    conf: CorpusConf,
    n_jobs: int,
    folder: Path,
    label: str = "corpus",
) -> Scan:
    """Decode every recording once: length, loudness, peak; leave out copies and short ones.

    Args:
        folder: where results lie, for an interrupted scan and other recipes to go on from.

    Returns:
        the utterances kept, sorted by name, and the recordings left out, each with the reason.

    Raises:
        UserError: names the corrupt, silent or stereo files, unless corpus.skip_bad.
    """
    listing = fingerprint_recordings(recordings, root)
    key = hash_text(f"{MEASURES} {root} {listing} {conf.channel}")
    done = Journal(folder / f".scan-{key}.jsonl", key)
    todo = [row for row in recordings if row.path not in done.done]
    if len(todo) < len(recordings):
        logger.info("%s: going on after %d files", label, len(recordings) - len(todo))
    jobs = [(recording, root, conf.channel) for recording in todo]
    bad: dict[str, str] = {}
    results = run_jobs(_measure, jobs, n_jobs, total=len(jobs), label=label, unit="file", chunk=4)
    for recording, outcome in zip(todo, results, strict=True):
        if isinstance(outcome, str):
            bad[recording.path] = outcome
        else:
            done.add(recording.path, outcome)
    done.close()
    _report_bad(list(bad.values()), conf.skip_bad)
    outcomes = [done.done[row.path] for row in recordings if row.path in done.done]
    measured, left_out = _drop_copies(outcomes, conf)
    if not measured:
        raise UserError(
            f"{root}: none of {len(recordings)} recordings is usable (at least "
            f"{conf.min_duration_s} s long, see corpus.min_duration_s)."
        )
    logger.info("%s: %d of %d recordings kept", label, len(measured), len(recordings))
    return Scan(sorted(measured, key=lambda row: row.utterance), {**bad, **left_out})


def _drop_copies(outcomes: list[list], conf: CorpusConf) -> tuple[list[Utterance], dict[str, str]]:
    """Of recordings with the same samples the first; none that is too short."""
    measured: list[Utterance] = []
    first: dict[str, str] = {}
    left_out = {}
    for values, digest in outcomes:
        utterance = Utterance(**values)
        if utterance.duration_s < conf.min_duration_s:
            left_out[utterance.path] = f"{TOO_SHORT} ({utterance.duration_s:.2f} s)"
        elif digest in first:
            left_out[utterance.path] = f"{COPY} of {first[digest]}"
        else:
            first[digest] = utterance.path
            measured.append(utterance)
    return measured, left_out


def _measure(job: tuple[Recording, Path, str]) -> list | str:
    """One recording measured, with the hash of its samples; or what is wrong with it."""
    recording, root, channel = job
    channel = recording.channel or channel
    try:
        samples, sample_rate = read_mono(root / recording.path, channel)
        peak = float(np.abs(samples).max())
        loudness = measure_loudness_lufs(samples, sample_rate)
        if peak < SILENCE_PEAK:
            raise UserError(f"{root / recording.path}: is silent; remove it.")
    except UserError as error:
        return str(error)
    name = Path(recording.path).with_suffix("").as_posix().replace("/", "-")
    made_up = f"{recording.speaker}-{hash_text(name)[:6]}-{Path(recording.path).stem}"
    utterance = Utterance(
        utterance=recording.utterance or made_up,
        speaker=recording.speaker,
        sex=recording.sex,
        split="",
        path=recording.path,
        n_samples=len(samples),
        sample_rate=sample_rate,
        # Two decimals are a tenth of what a listener or a metric notices, and
        # survive another version of SciPy or pyloudnorm.
        loudness_lufs=round(loudness, 2) if math.isfinite(loudness) else -70.0,
        peak=round(peak, 4),
        channel=channel,
        prompt=recording.prompt,
        transcript=recording.transcript,
        subset=recording.subset,
        age=recording.age,
        accent=recording.accent,
        n_clipped=count_clipped(samples) if peak >= FULL_SCALE else 0,
    )
    return [dataclasses.asdict(utterance), hashlib.sha256(samples.tobytes()).hexdigest()[:24]]


def count_clipped(samples: np.ndarray) -> int:
    """Samples in runs of at least three at full scale: a lone peak may just touch it.

    >>> count_clipped(np.float32([1, 0, 1, 1, 1, 0, -1, -1]))
    3
    """
    at_limit = np.concatenate([[False], np.abs(samples) >= FULL_SCALE, [False]])
    edges = np.flatnonzero(np.diff(at_limit.astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= CLIPPED_RUN].sum())


def _report_bad(bad: list[str], skip: bool) -> None:
    if bad and not skip:
        raise UserError(
            f"{list_lines(sorted(bad))}\n{len(bad)} unusable file(s): fix or remove them, or leave "
            "them out with --set corpus.skip_bad=true."
        )
    for reason in bad:
        logger.warning("left out: %s", reason)


def drop_low_rates(
    utterances: list[Utterance], sample_rate: int, *, skip_bad: bool
) -> list[Utterance]:
    """The utterances that have what a model of ``sample_rate`` Hz works in.

    Raising a recording's rate would leave its upper band empty, and no score would show it.

    Raises:
        UserError: some have less, and ``skip_bad`` does not leave them out.
    """
    low = [row for row in utterances if row.sample_rate < sample_rate]
    if low and not skip_bad:
        raise UserError(
            f"{len(low)} recordings have a lower sample rate than audio.sample_rate={sample_rate} "
            f"({low[0].path}: {low[0].sample_rate} Hz, the first): set audio.sample_rate="
            f"{min(row.sample_rate for row in low)}, or leave them out with --set "
            "corpus.skip_bad=true."
        )
    if low:
        logger.warning(
            "left out: %d recordings of less than audio.sample_rate=%d Hz (%s)",
            len(low),
            sample_rate,
            list_first([row.path for row in low]),
        )
    return [row for row in utterances if row.sample_rate >= sample_rate]


def format_table(utterances: Iterable[Utterance]) -> str:
    """The corpus table as CSV, in its canonical text."""
    return format_rows([dataclasses.asdict(row) for row in utterances])


def read_table(path: Path) -> list[Utterance]:
    """Read a corpus table written by :func:`format_table`."""
    kinds = {field.name: field.type for field in dataclasses.fields(Utterance)}
    return [
        Utterance(**{name: kinds[name](text) for name, text in row.items()})  # type: ignore[operator]
        for row in read_rows(path)
    ]
