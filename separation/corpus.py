"""Corpus tables: one row an utterance, whatever the corpus."""

import dataclasses
import hashlib
import logging
import math
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from separation.audio import read_mono
from separation.config import CorpusConf
from separation.errors import UserError
from separation.files import format_rows, hash_text, read_rows
from separation.loudness import measure_loudness_lufs
from separation.recordings import Recording

logger = logging.getLogger(__name__)

SILENCE_PEAK = 1e-4
MAX_COMPLAINTS = 20


@dataclass(frozen=True)
class Utterance:
    """A row of the corpus table."""

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

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate


def scan_recordings(
    recordings: list[Recording], root: Path, conf: CorpusConf, n_jobs: int
) -> list[Utterance]:
    """Decode every recording once: length, loudness, peak; drop copies and short ones.

    Raises:
        UserError: names the corrupt, silent or stereo files, unless corpus.skip_bad.
    """
    measured, bad, digests = [], [], set()
    jobs = [(recording, root, conf.channel) for recording in recordings]
    with ProcessPoolExecutor(max(1, n_jobs)) as pool:
        results = pool.map(_measure, jobs, chunksize=8)
        for outcome in tqdm(results, total=len(jobs), desc="corpus", unit="file"):
            if isinstance(outcome, str):
                bad.append(outcome)
                continue
            utterance, digest = outcome
            if digest not in digests and utterance.duration_s >= conf.min_duration_s:
                digests.add(digest)
                measured.append(utterance)
    _complain(bad, conf.skip_bad)
    if not measured:
        raise UserError(
            f"{root}: none of {len(recordings)} recordings is usable (at least "
            f"{conf.min_duration_s} s long, see corpus.min_duration_s)."
        )
    logger.info("%d of %d recordings kept", len(measured), len(recordings))
    return sorted(measured, key=lambda row: row.utterance)


def _measure(job: tuple[Recording, Path, str]) -> tuple[Utterance, str] | str:
    """One recording measured, with the hash of its samples; or the complaint about it."""
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
    utterance = Utterance(
        utterance=f"{recording.speaker}-{hash_text(name)[:6]}-{Path(recording.path).stem}",
        speaker=recording.speaker,
        sex=recording.sex,
        split="",
        path=recording.path,
        n_samples=len(samples),
        sample_rate=sample_rate,
        # Two decimals are a tenth of what a listener or a metric can tell, and
        # survive another version of SciPy or pyloudnorm.
        loudness_lufs=round(loudness, 2) if math.isfinite(loudness) else -70.0,
        peak=round(peak, 4),
        channel=channel,
        prompt=recording.prompt,
        transcript=recording.transcript,
    )
    return utterance, hashlib.sha256(samples.tobytes()).hexdigest()


def _complain(bad: list[str], skip: bool) -> None:
    if bad and not skip:
        more = f" (and {len(bad) - MAX_COMPLAINTS} more)" if len(bad) > MAX_COMPLAINTS else ""
        raise UserError(
            "\n".join(sorted(bad)[:MAX_COMPLAINTS]) + more + "\n"
            f"{len(bad)} unusable file(s): mend or remove them, or leave them out with "
            "--set corpus.skip_bad=true."
        )
    for complaint in bad:
        logger.warning("left out: %s", complaint)


def format_table(utterances: Iterable[Utterance]) -> str:
    """The corpus table's canonical text."""
    return format_rows([dataclasses.asdict(row) for row in utterances])


def read_table(path: Path) -> list[Utterance]:
    """Read a corpus table written by :func:`format_table`."""
    kinds = {field.name: field.type for field in dataclasses.fields(Utterance)}
    return [
        Utterance(**{name: kinds[name](text) for name, text in row.items()})  # type: ignore[operator]
        for row in read_rows(path)
    ]
