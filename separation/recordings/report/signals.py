"""A recording that was separated, and its tracks, at 16 kHz on disk, to be measured."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.resample import resample_blocks
from separation.errors import MissingInputError, UserError
from separation.recordings.activity import find_runs
from separation.recordings.decode import open_audio, read_channel
from separation.recordings.evidence import count_ticks, detect_speech
from separation.recordings.record import Record, read_record, stamp_recording
from separation.recordings.speech_networks import RATE, TICK_S, load_detector

TOLERANCE = 2**-14  # of the extreme value, within which samples lie at it: 16 bits and a rounding
SHORTEST_RUN = 3  # samples at the extreme value in a row that are no peak but clipped
BELOW_LOUD_DB = 25.0  # where no network says what is speech


@dataclass(frozen=True, kw_only=True)
class Clipping:
    """Samples at the extreme values of a signal, in runs of three and more.

    Attributes:
        n_samples: of the signal.
        n_clipped: in the runs.
        seconds: that hold a run, sorted.
    """

    n_samples: int
    n_clipped: int
    seconds: tuple[int, ...]

    @property
    def share(self) -> float:
        """Of all samples."""
        return self.n_clipped / max(1, self.n_samples)


class ClipMeter:
    """Finds clipped samples in blocks that pass by, whatever the level they were clipped at."""

    def __init__(self, rate: int) -> None:
        self.rate, self.n_samples = rate, 0
        self._sides = (_Side(), _Side())

    def pass_on(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Measure blocks ``(time,)`` on their way."""
        for block in blocks:
            for side, sign in zip(self._sides, (1, -1), strict=True):
                side.add(sign * block, self.n_samples, self.rate)
            self.n_samples += len(block)
            yield block

    def read(self) -> Clipping:
        """What was found."""
        seconds = self._sides[0].seconds | self._sides[1].seconds
        n_clipped = sum(side.n_clipped for side in self._sides)
        return Clipping(
            n_samples=self.n_samples, n_clipped=n_clipped, seconds=tuple(sorted(seconds))
        )


class _Side:
    """Runs at the largest value so far; a larger one shows that those before were none."""

    def __init__(self) -> None:
        self.top, self.n_clipped = 0.0, 0
        self.seconds: set[int] = set()

    def add(self, values: np.ndarray, offset: int, rate: int) -> None:
        top = float(values.max(initial=0))
        if top > self.top * (1 + TOLERANCE):
            self.top, self.n_clipped, self.seconds = top, 0, set()
        if self.top <= 0:
            return
        for start, stop in find_runs(values >= self.top * (1 - TOLERANCE)):
            if stop - start >= SHORTEST_RUN:
                self.n_clipped += stop - start
                self.seconds.add((offset + start) // rate)


@dataclass(frozen=True, kw_only=True)
class Separated:
    """A recording and its tracks.

    Attributes:
        record: what ``separate`` wrote of it.
        recording: float32 ``(time,)`` at 16 kHz.
        tracks: as long as the recording.
        clipping: of the recording at its own rate.
        speech: ``(t,)``, probability of speech in ticks of 0.1 s.
        has_detector: whether a network says what is speech; else levels do.
    """

    record: Record
    recording: np.ndarray
    tracks: list[np.ndarray]
    clipping: Clipping
    speech: np.ndarray
    has_detector: bool


@contextlib.contextmanager
def open_separated(place: Path) -> Iterator[Separated]:
    """Open what ``separate`` wrote, by its NAME.json; signals lie on disk, whatever their length.

    Raises:
        MissingInputError: record, recording or tracks are not there.
        UserError: it is no record, or the recording or a track has changed since.
    """
    record = read_checked(place)
    with tempfile.TemporaryDirectory(prefix="separation-report-") as folder:
        work = Path(folder)
        with open_audio(Path(record.recording), work) as file:
            meter = ClipMeter(file.samplerate)
            blocks = read_channel(file, choose_channel(record), record.recording)
            recording = _store(meter.pass_on(blocks), file.samplerate, work / "recording.f32")
        tracks = []
        for track in list_track_files(record):
            with soundfile.SoundFile(place.parent / track) as file:
                blocks = read_channel(file, "first", track)
                tracks.append(_store(blocks, file.samplerate, work / f"{track}.f32"))
        n_samples = min(map(len, [recording, *tracks]))
        detector = load_detector()
        yield Separated(
            record=record,
            recording=recording[:n_samples],
            tracks=[track[:n_samples] for track in tracks],
            clipping=meter.read(),
            speech=detect_speech(work / "recording.f32", len(recording), detector)
            if detector
            else guess_speech(recording),
            has_detector=detector is not None,
        )
        del recording, tracks


def read_checked(place: Path) -> Record:
    """The record of a recording that is as it was, tracks too; see :func:`open_separated`."""
    if not place.is_file():
        raise MissingInputError(f"{place}: is not there; name the NAME.json beside the tracks.")
    record = read_record(place)
    if record is None:
        raise UserError(f"{place}: is no record of `separate`; name the NAME.json of its tracks.")
    path = Path(record.recording)
    if not path.is_file():
        raise MissingInputError(f"{path}: is not there, but {place} is of it; put it back.")
    if record.stamp != stamp_recording(path):
        raise UserError(f"{path}: has changed since it was separated; separate it again.")
    changed = record.list_changed(place.parent)
    if changed:
        raise UserError(
            f"{place.parent / changed[0]}: is missing or has changed since it was separated; "
            "separate the recording again."
        )
    return record


def list_track_files(record: Record) -> list[str]:
    """Names of the tracks in their order."""
    return [voice["track"] for voice in record.measured["voices"]]


def choose_channel(record: Record) -> str:
    """The channel that was separated, as :func:`read_channel` takes it."""
    if record.channel:
        return str(record.channel)
    channel = record.settings["channel"]
    return "1" if channel == "each" else channel


def _store(blocks: Iterable[np.ndarray], rate: int, target: Path) -> np.ndarray:
    """Write a signal at 16 kHz; returns it mapped into memory, ``(time,)``."""
    with open(target, "wb") as handle:
        for block in resample_blocks(iter(blocks), rate, RATE):
            handle.write(np.ascontiguousarray(block, np.float32).data)
    return np.memmap(target, np.float32, "r")


def guess_speech(signal: np.ndarray) -> np.ndarray:
    """What may be speech by its level alone, 0 or 1 of each tick ``(t,)``."""
    levels = measure_levels(signal)
    return (levels > np.percentile(levels, 95) - BELOW_LOUD_DB).astype(np.float32)


def measure_levels(signal: np.ndarray) -> np.ndarray:
    """Level of each tick of 0.1 s at 16 kHz, dB below full scale, ``(t,)``; not below -120."""
    tick = round(TICK_S * RATE)
    n_ticks = count_ticks(len(signal) / RATE)
    powers = np.zeros(n_ticks)
    for first in range(0, n_ticks, 600):
        part = np.asarray(signal[first * tick : (first + 600) * tick], np.float64)
        framed = np.pad(part, (0, -len(part) % tick)).reshape(-1, tick)
        powers[first : first + len(framed)] = np.square(framed).mean(axis=1)
    return 10 * np.log10(np.maximum(powers, 1e-12))
