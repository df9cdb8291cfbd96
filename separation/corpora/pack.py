"""Packed audio: every utterance decoded once, as memory-mapped 16-bit samples."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from separation.audio.clips import Clip
from separation.audio.files import read_mono
from separation.audio.resample import resample_fast
from separation.errors import MissingInputError, UserError
from separation.files import format_rows, read_rows, write_text, write_whole
from separation.jobs import run_jobs
from separation.safe_paths import place_inside

logger = logging.getLogger(__name__)

FRAME_S = 0.25  # in which a speaker is heard or not
ACTIVE_BELOW_DB = 30.0  # loudness of a frame with speech, at least, below that of its utterance
LEAST_ACTIVE_SHARE = 0.1  # of a crop's frames; with fewer it is a pause
STEP = 2.0**-15  # of 16-bit samples: a file's own at its own rate, so packing loses nothing
INT16_MAX = 32767


class Packable(Protocol):
    """What packing needs to know of a recording; corpus table rows are such."""

    @property
    def speaker(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def loudness_lufs(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class PackedUtterance:
    """Where an utterance lies in the samples of its speaker's file."""

    speaker: str
    path: str  # in the corpus
    offset: int
    n_samples: int
    sample_rate: int
    scale: float  # int16 * scale are the corpus's samples
    peak: float
    loudness_lufs: float


@dataclass(frozen=True, kw_only=True)
class ListedClip:
    """A source that a mixture table names."""

    speaker: str
    path: str
    channel: str
    loudness_lufs: float = 0.0  # not known, and not needed for exact rendering


def pack_speakers(
    utterances: Sequence[Packable],
    root: Path,
    folder: Path,
    sample_rate: int | None,
    n_jobs: int,
) -> None:
    """Pack every speaker's utterances into ``folder/<speaker>.i16`` and ``.csv``.

    A speaker whose files are there is skipped, so an interrupted packing goes on.

    Args:
        utterances: rows of a corpus table, of any rates.
        root: the corpus root.
        folder: made if absent; holds the packs of one table and one rate only.
        sample_rate: Hz of the packed samples; None: each file's own, which is lossless for
            16-bit recordings.
        n_jobs: processes.
    """
    speakers = sorted({row.speaker for row in utterances})
    rows_of: dict[str, list[Packable]] = {name: [] for name in speakers}
    for row in utterances:
        rows_of[row.speaker].append(row)
    jobs = [
        (rows_of[speaker], root, place_inside(folder, speaker), sample_rate)
        for speaker in speakers
        if not (folder / f"{speaker}.csv").is_file()
    ]
    if len(jobs) < len(speakers):
        logger.info("%d of %d are packed already", len(speakers) - len(jobs), len(speakers))
    folder.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):
        _pack_all(jobs, n_jobs)


def _pack_all(jobs: list, n_jobs: int) -> None:
    for _ in run_jobs(_pack_one, jobs, n_jobs, total=len(jobs), label="pack", unit="speaker"):
        pass


def _pack_one(job: tuple[list[Packable], Path, Path, int | None]) -> None:
    utterances, root, stem, sample_rate = job
    rows, offset = [], 0
    samples_path = stem.with_name(f"{stem.name}.i16")
    with write_whole(samples_path) as partial, open(partial, "wb") as handle:
        for utterance in utterances:
            samples, rate = read_mono(root / utterance.path, utterance.channel)
            samples = resample_fast(samples, rate, sample_rate or rate)
            peak = float(np.abs(samples).max())
            scale = STEP if peak <= INT16_MAX * STEP else max(peak / INT16_MAX, STEP)
            handle.write(
                np.rint(samples / np.float32(scale)).clip(-32768, 32767).astype("<i2").tobytes()
            )
            packed = PackedUtterance(
                speaker=utterance.speaker,
                path=utterance.path,
                offset=offset,
                n_samples=len(samples),
                sample_rate=sample_rate or rate,
                scale=scale,
                peak=round(peak, 4) + 1e-4,
                loudness_lufs=utterance.loudness_lufs,
            )
            rows.append(dataclasses.asdict(packed) | {"scale": repr(scale)})
            offset += len(samples)
        handle.flush()
    # The index comes last: it says that the samples are whole.
    write_text(stem.with_name(f"{stem.name}.csv"), format_rows(rows))


class PackedAudio:
    """Random access to packed utterances, a list for each speaker.

    Attributes:
        speakers: names, sorted.
        utterances: for each speaker, its :class:`PackedUtterance` rows.
    """

    def __init__(self, folder: Path, speakers: list[str]) -> None:
        self.folder, self.speakers = folder, sorted(speakers)
        self.utterances = []
        self._samples = []
        self._active: dict[tuple[int, int], np.ndarray] = {}
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
            self._samples.append(np.memmap(samples, "<i2", mode="r").view(np.ndarray))

    def __reduce__(self) -> tuple[type, tuple[Path, list[str]]]:
        """Pickled as its folder, which another process maps too, not as all its samples."""
        return type(self), (self.folder, self.speakers)

    @property
    def sample_rate(self) -> int:
        """Of the packed samples, Hz; a pack for training has one."""
        return self.utterances[0][0].sample_rate

    @property
    def n_utterances(self) -> int:
        return sum(map(len, self.utterances))

    @property
    def n_samples(self) -> int:
        """Of all utterances together."""
        return sum(map(len, self._samples))

    def samples_of(self, speaker: int) -> np.ndarray:
        """All of a speaker's samples, int16 ``(time,)``, mapped and read-only.

        An utterance begins at its row's ``offset``; its samples times ``scale`` are the corpus's.
        """
        return self._samples[speaker]

    def is_active(self, speaker: int, utterance: int, start: int, n_samples: int) -> bool:
        """Whether a crop of an utterance holds speech, by frames of a quarter of a second."""
        key, row = (speaker, utterance), self.utterances[speaker][utterance]
        counts = self._active.get(key)
        if counts is None:
            counts = self._active[key] = self._count_active(speaker, row)
        hop = round(FRAME_S * row.sample_rate)
        first, end = start // hop, min((start + n_samples) // hop, len(counts) - 1)
        least = max(1.0, LEAST_ACTIVE_SHARE * (end - first))
        return end <= first or int(counts[end] - counts[first]) >= least

    def _count_active(self, speaker: int, row: PackedUtterance) -> np.ndarray:
        """Number of frames with speech before each frame of an utterance, int32."""
        hop = round(FRAME_S * row.sample_rate)
        n_frames = row.n_samples // hop
        samples = self._samples[speaker][row.offset : row.offset + n_frames * hop]
        frames = samples.reshape(n_frames, hop).astype(np.float32)
        powers = np.einsum("ij,ij->i", frames, frames) * (row.scale**2 / hop)
        active = powers > 10 ** ((row.loudness_lufs - ACTIVE_BELOW_DB) / 10)
        return np.concatenate([[0], np.cumsum(active)]).astype(np.int32)

    def read(
        self, speaker: int, utterance: int, start: int, n_samples: int, gain: float = 1.0
    ) -> np.ndarray:
        """At most ``n_samples`` of an utterance from ``start`` on, times ``gain``.

        Returns:
            float32 ``(time,)``.
        """
        row = self.utterances[speaker][utterance]
        samples = np.empty(max(0, min(n_samples, row.n_samples - start)), np.float32)
        self.read_into(samples, speaker, utterance, start, gain)
        return samples

    def read_into(
        self, samples: np.ndarray, speaker: int, utterance: int, start: int, gain: float
    ) -> None:
        """Fill float32 ``samples`` with those of an utterance from ``start`` on, times ``gain``."""
        row = self.utterances[speaker][utterance]
        first = row.offset + start
        piece = self._samples[speaker][first : first + len(samples)]
        # In this order a power-of-two scale leaves the bits of gain * samples as they are.
        np.multiply(piece, np.float32(np.float32(gain) * np.float32(row.scale)), samples)


def _read_packed(row: dict[str, str]) -> PackedUtterance:
    return PackedUtterance(
        speaker=row["speaker"],
        path=row["path"],
        offset=int(row["offset"]),
        n_samples=int(row["n_samples"]),
        sample_rate=int(row["sample_rate"]),
        scale=float(row["scale"]),
        peak=float(row["peak"]),
        loudness_lufs=float(row["loudness_lufs"]),
    )


class ExactPack:
    """A pack at the files' own rate, to render mixture tables from: source path -> clip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _audio(self) -> PackedAudio:
        return PackedAudio(self.folder, sorted(path.stem for path in self.folder.glob("*.i16")))

    @cached_property
    def _places(self) -> dict[str, tuple[int, int]]:
        return {
            row.path: (speaker, utterance)
            for speaker, rows in enumerate(self._audio.utterances)
            for utterance, row in enumerate(rows)
        }

    def find(self, path: str) -> Clip | None:
        """The clip of this path, or None where it is not packed, or not losslessly."""
        place = self._places.get(path)
        if place is None or self._audio.utterances[place[0]][place[1]].scale != STEP:
            return None
        return _PackedClip(self._audio, *place)


class _PackedClip:
    def __init__(self, audio: PackedAudio, speaker: int, utterance: int) -> None:
        row = audio.utterances[speaker][utterance]
        self.n_samples, self.sample_rate = row.n_samples, row.sample_rate
        self._read = lambda n_samples, gain: audio.read(speaker, utterance, 0, n_samples, gain)

    def read(self, n_samples: int, gain: float) -> np.ndarray:
        return self._read(n_samples, gain)
