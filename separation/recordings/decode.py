"""A recording of any length -> one channel at the model's rate, on disk, a block at a time."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.files import (
    FFMPEG_SUFFIXES,
    NO_LENGTH,
    decode_with_ffmpeg,
    find_ffmpeg,
    find_missing_samples,
    find_rate_fault,
    is_decoded_whole,
    read_audio,
)
from separation.audio.resample import resample_blocks
from separation.errors import UserError

logger = logging.getLogger(__name__)

BLOCK_SAMPLES = 1 << 19  # of all channels together
SHORTEST_S = 0.1
SILENCE_PEAK = 1e-4
FULL_SCALE = 0.9995  # samples from here on may have been clipped


@dataclass(frozen=True, kw_only=True)
class Level:
    """A recording's channel as it was read.

    Attributes:
        n_samples: at its own rate.
        sample_rate: its own, in Hz.
        peak: largest magnitude, full scale at 1.
        power: mean square.
        n_clipped: samples at full scale.
    """

    n_samples: int
    sample_rate: int
    peak: float
    power: float
    n_clipped: int

    def check(self, name: str) -> None:
        """Raise :class:`UserError` where there is nothing to separate."""
        if self.n_samples < SHORTEST_S * self.sample_rate:
            raise UserError(
                f"{name}: is too short ({self.n_samples} samples); at least 0.1 s is needed."
            )
        if self.peak < SILENCE_PEAK:
            raise UserError(f"{name}: is silent; there is nothing to separate.")


def measure(samples: np.ndarray, sample_rate: int) -> Level:
    """The level of ``(time,)`` in memory."""
    meter = _Meter()
    for _ in meter.pass_on([samples], "waveform"):
        pass
    return meter.read(sample_rate)


class _Meter:
    """Measures blocks on their way."""

    def __init__(self) -> None:
        self.n_samples, self.peak, self.energy, self.n_clipped = 0, 0.0, 0.0, 0

    def pass_on(
        self, blocks: Iterator[np.ndarray] | list[np.ndarray], name: str
    ) -> Iterator[np.ndarray]:
        for block in blocks:
            if not np.isfinite(block).all():
                raise UserError(f"{name}: holds NaN or infinite samples; export it again.")
            magnitudes = np.abs(block)
            self.n_samples += len(block)
            self.peak = max(self.peak, float(magnitudes.max(initial=0)))
            self.energy += float(np.dot(block, block.astype(np.float64)))
            self.n_clipped += int(np.count_nonzero(magnitudes >= FULL_SCALE))
            yield block

    def read(self, sample_rate: int) -> Level:
        return Level(
            n_samples=self.n_samples,
            sample_rate=sample_rate,
            peak=self.peak,
            power=self.energy / max(1, self.n_samples),
            n_clipped=self.n_clipped,
        )


@contextlib.contextmanager
def open_audio(path: Path, folder: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording of any format; what libsndfile does not read is decoded into a folder.

    Raises:
        UserError: nothing here can decode it.
    """
    try:
        source = _decode_to_wav(path, folder) if is_decoded_whole(path) else path
        file = soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        if not find_ffmpeg():
            raise UserError(
                f"{path}: cannot be decoded ({error}); convert it to WAV or FLAC, or install "
                "ffmpeg, which reads more formats."
            ) from error
        file = soundfile.SoundFile(_call_ffmpeg(path, folder))
    with file:
        yield file


def _decode_to_wav(path: Path, folder: Path) -> Path:
    if path.suffix.lower() in FFMPEG_SUFFIXES:
        return _call_ffmpeg(path, folder)
    samples, rate = read_audio(path, allow_cut=True)
    wav = folder / "decoded.wav"
    soundfile.write(wav, samples, rate, "FLOAT", format="RF64")
    return wav


def _call_ffmpeg(path: Path, folder: Path) -> Path:
    try:
        return decode_with_ffmpeg(path, folder / "decoded.wav")
    except ValueError as error:
        raise UserError(
            f"{path}: cannot be decoded ({error}); install ffmpeg, or convert it to WAV or FLAC."
        ) from error


def store_channel(
    file: soundfile.SoundFile, channel: str, rate: int, target: Path, name: str
) -> Level:
    """Write one channel of an open recording as raw float32 at another rate.

    Args:
        file: at its first sample.
        channel: ``mean``, ``first``, or a number from 1.
        rate: Hz, of the model.
        target: the raw file.
        name: of the recording, for messages.

    Raises:
        UserError: it cannot be decoded to its end, is silent or too short, or has no such channel.
    """
    if channel.isdecimal() and int(channel) > file.channels:
        raise UserError(
            f"{name}: has {file.channels} channel(s), so there is no --channel {channel}."
        )
    if fault := find_rate_fault(file):
        raise UserError(f"{name}: {fault}; fetch it again, or correct its header.")
    meter = _Meter()
    blocks = meter.pass_on(read_channel(file, channel, name), name)
    with open(target, "wb") as handle:
        for block in resample_blocks(blocks, file.samplerate, rate):
            handle.write(np.ascontiguousarray(block, np.float32).data)
    level = meter.read(file.samplerate)
    level.check(name)
    fault = find_missing_samples(file)
    if fault and fault != NO_LENGTH:
        logger.warning("%s: %s; what is there is separated", name, fault)
    return level


def read_channel(file: soundfile.SoundFile, channel: str, name: str) -> Iterator[np.ndarray]:
    """Blocks ``(time,)`` of one channel of an open recording, or of their mean.

    Raises:
        UserError: it cannot be decoded to its end.
    """
    n_frames = max(1, BLOCK_SAMPLES // file.channels)
    while True:
        try:
            block = file.read(n_frames, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise UserError(
                f"{name}: cannot be decoded to its end ({error}); fetch it again, or convert it."
            ) from error
        if len(block):
            number = int(channel) - 1 if channel.isdecimal() else 0
            yield block.mean(axis=1) if channel == "mean" else block[:, number]
        if len(block) < n_frames:
            return
