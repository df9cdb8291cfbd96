"""Packed audio: every training utterance decoded once, as memory-mapped 16-bit samples."""

import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from separation.audio import read_mono, resample
from separation.corpus import Utterance
from separation.errors import MissingInputError, UserError
from separation.files import format_rows, read_rows, write_text, write_whole

logger = logging.getLogger(__name__)

INT16_SCALE = 32767


@dataclass(frozen=True)
class PackedUtterance:
    """Where an utterance lies in the samples of its speaker's file."""

    speaker: str
    offset: int
    n_samples: int
    scale: float  # int16 * scale are the corpus's samples
    loudness_lufs: float


def pack_speakers(
    utterances: list[Utterance], root: Path, folder: Path, sample_rate: int, n_jobs: int
) -> None:
    """Pack every speaker's utterances into ``folder/<speaker>.i16`` and ``.csv``.

    A speaker whose files are there is skipped, so an interrupted packing goes on.

    Args:
        utterances: rows of a corpus table, of any rates.
        root: the corpus root.
        folder: made if absent; holds the packs of one table and one rate only.
        sample_rate: Hz of the packed samples.
        n_jobs: processes.
    """
    speakers = sorted({row.speaker for row in utterances})
    jobs = [
        ([row for row in utterances if row.speaker == speaker], root, folder / speaker, sample_rate)
        for speaker in speakers
        if not (folder / f"{speaker}.csv").is_file()
    ]
    if len(jobs) < len(speakers):
        logger.info(
            "%d of %d speakers are packed already", len(speakers) - len(jobs), len(speakers)
        )
    with ProcessPoolExecutor(max(1, n_jobs)) as pool:
        for _ in tqdm(pool.map(_pack_one, jobs), total=len(jobs), desc="pack", unit="speaker"):
            pass


def _pack_one(job: tuple[list[Utterance], Path, Path, int]) -> None:
    utterances, root, stem, sample_rate = job
    rows, offset = [], 0
    with write_whole(stem.with_suffix(".i16")) as partial, open(partial, "wb") as handle:
        for utterance in utterances:
            samples, rate = read_mono(root / utterance.path, utterance.channel)
            samples = resample(samples, rate, sample_rate)
            scale = max(1.0, float(np.abs(samples).max())) / INT16_SCALE
            handle.write(np.round(samples / scale).astype("<i2").tobytes())
            rows.append(
                {
                    "speaker": utterance.speaker,
                    "offset": offset,
                    "n_samples": len(samples),
                    "scale": repr(scale),
                    "loudness_lufs": utterance.loudness_lufs,
                }
            )
            offset += len(samples)
        handle.flush()
    # The index comes last: it says that the samples are whole.
    write_text(stem.with_suffix(".csv"), format_rows(rows))


class PackedAudio:
    """Random access to packed utterances, a list for each speaker.

    Attributes:
        speakers: names, sorted.
        utterances: for each speaker, its :class:`PackedUtterance` rows.
    """

    def __init__(self, folder: Path, speakers: list[str]) -> None:
        self.speakers = sorted(speakers)
        self.utterances = []
        self._samples = []
        for speaker in self.speakers:
            index, samples = folder / f"{speaker}.csv", folder / f"{speaker}.i16"
            if not index.is_file() or not samples.is_file():
                raise MissingInputError(f"{index}: not there; run stage 3 again.")
            rows = [_read_packed(row) for row in read_rows(index)]
            if samples.stat().st_size != 2 * sum(row.n_samples for row in rows):
                raise UserError(
                    f"{samples}: its size does not fit {index}; remove both, run stage 3."
                )
            self.utterances.append(rows)
            self._samples.append(np.memmap(samples, "<i2", mode="r"))

    def read(self, speaker: int, utterance: int, start: int, n_samples: int) -> np.ndarray:
        """At most ``n_samples`` float32 samples of an utterance from ``start`` on, ``(time,)``."""
        row = self.utterances[speaker][utterance]
        stop = min(start + n_samples, row.n_samples)
        piece = self._samples[speaker][row.offset + start : row.offset + stop]
        return piece.astype(np.float32) * np.float32(row.scale)


def _read_packed(row: dict[str, str]) -> PackedUtterance:
    return PackedUtterance(
        row["speaker"],
        int(row["offset"]),
        int(row["n_samples"]),
        float(row["scale"]),
        float(row["loudness_lufs"]),
    )
