"""Where the samples of sources come from: the corpus's files, or a lossless pack of them."""

from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

try:  # decodes FLAC about 1.5 times as fast as libsndfile, to the same samples
    import miniaudio
except ImportError:  # pragma: no cover
    miniaudio = None

from separation.audio.files import (
    ABSENT,
    explain_decoding,
    find_missing_samples,
    is_decoded_whole,
    read_mono,
)
from separation.errors import MissingInputError, UserError
from separation.files import locate_recording


class Clip(Protocol):
    """One recording, opened: its length is known before its samples are read."""

    n_samples: int
    sample_rate: int

    def read(self, n_samples: int, gain: float) -> np.ndarray:
        """The first ``n_samples``, float32 ``(time,)``, times ``gain`` (in float32)."""
        ...


class ArrayClip:
    """A recording that is in memory already."""

    def __init__(self, samples: np.ndarray, sample_rate: int) -> None:
        self.samples, self.sample_rate = samples, sample_rate
        self.n_samples = len(samples)

    def read(self, n_samples: int, gain: float) -> np.ndarray:
        # A Python float keeps float32; np.float64 would promote it and change bits.
        return self.samples[:n_samples] * float(gain)


class JoinedClip:
    """A piece of recordings that follow each other.

    Args:
        clips: of one sample rate.
        start: first sample of the piece.
        n_samples: of the piece.
    """

    def __init__(self, clips: list[Clip], start: int, n_samples: int) -> None:
        self._clips, self._start = clips, start
        self.n_samples, self.sample_rate = n_samples, clips[0].sample_rate
        rates = {clip.sample_rate for clip in clips}
        available = sum(clip.n_samples for clip in clips)
        if len(rates) > 1 or start + n_samples > available:
            raise UserError(
                f"a source of samples {start} to {start + n_samples} is taken from recordings of "
                f"{available} samples at {sorted(rates)} Hz: the table does not fit the corpus; "
                "run stage 2 again."
            )

    def read(self, n_samples: int, gain: float) -> np.ndarray:
        pieces, skipped, left = [], self._start, min(n_samples, self.n_samples)
        for clip in self._clips:
            taken = min(clip.n_samples - skipped, left)
            if taken > 0:
                pieces.append(clip.read(skipped + taken, gain)[skipped:])
                left -= taken
            skipped = max(0, skipped - clip.n_samples)
        return np.concatenate(pieces)


class FileClip:
    """A file that libsndfile reads; only what is asked for is decoded."""

    def __init__(self, path: Path, channel: str) -> None:
        if not path.is_file():
            raise MissingInputError(f"{path}: {ABSENT}; check the path.")
        try:
            self._file = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            raise UserError(f"{path}: {explain_decoding(path, error)}.") from error
        fault = find_missing_samples(self._file)
        if fault:
            raise UserError(f"{path}: {fault}; fetch it again.")
        self.path, self.channel = path, channel
        self.n_samples, self.sample_rate = self._file.frames, self._file.samplerate
        if self._file.channels > 1 and channel == "mono":
            raise UserError(f"{path}: has {self._file.channels} channels where one is expected.")

    def read(self, n_samples: int, gain: float) -> np.ndarray:
        wanted = min(n_samples, self.n_samples)
        try:
            samples = self._decode(wanted)
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"{self.path}: {explain_decoding(self.path, error)}.") from error
        if len(samples) < wanted:
            raise UserError(
                f"{self.path}: is truncated: {len(samples)} samples where {wanted} are said "
                "to be; fetch it again."
            )
        if samples.dtype == np.int16:  # a power of two leaves the bits of gain * samples alone
            return samples * np.float32(np.float32(gain) * np.float32(2.0**-15))
        if samples.ndim > 1:
            samples = samples.mean(axis=1) if self.channel == "mean" else samples[:, 0]
        return samples * float(gain)

    def _decode(self, n_samples: int) -> np.ndarray:
        """The first samples: int16 by miniaudio where it can, float32 by libsndfile elsewhere."""
        file = self._file
        plain = file.format == "FLAC" and file.subtype == "PCM_16" and file.channels == 1
        if miniaudio is None or not plain:
            file.seek(0)
            return file.read(n_samples, dtype="float32")
        try:
            pieces = miniaudio.flac_stream_file(str(self.path), n_samples)
            return np.frombuffer(next(pieces, b""), np.int16)
        except miniaudio.MiniaudioError as error:
            raise OSError(str(error)) from error


def open_clip(path: Path, channel: str = "mono") -> Clip:
    """Open any file that :func:`separation.audio.files.read_mono` reads.

    Raises:
        MissingInputError: it is not there.
        UserError: it cannot be decoded, or is stereo where ``channel`` is ``mono``.
    """
    path = locate_recording(path)
    if is_decoded_whole(path):
        return ArrayClip(*read_mono(path, channel))
    return FileClip(path, channel)
