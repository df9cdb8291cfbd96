"""Whether an audio file is whole, from its header and its very end: the one place that decides.

Kaldi's and sms_wsj's validators ask the same: is it there, can it be decoded, is it as long as its
header says. A WAV file that a program wrote to a pipe states no true length and is read to its
end; a FLAC file written to a pipe is not, because libsndfile cannot tell where it ends.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.files import (
    ABSENT,
    TRUNCATED,
    explain_decoding,
    find_missing_samples,
    is_decoded_whole,
    read_audio,
)
from separation.errors import UserError
from separation.files import locate_recording

DECODING_ERRORS = (OSError, RuntimeError, ValueError, MemoryError)  # of corrupt files


@dataclass(frozen=True, kw_only=True)
class AudioHeader:
    """What a file says of itself, and whether its samples are there.

    Attributes:
        n_samples: a channel; 0 where it cannot be read.
        sample_rate: Hz; 0 where it cannot be read.
        channels: 0 where it cannot be read.
        is_float: whether its samples may be NaN or infinite.
        fault: why its samples cannot be used, such as ``is truncated``; empty where they can.
    """

    n_samples: int = 0
    sample_rate: int = 0
    channels: int = 0
    is_float: bool = False
    fault: str = ""

    def list_faults(self, channel: str = "mono", sample_rate: int | None = None) -> dict[str, str]:
        """What keeps a mixture from being made of this file, under ``validate``'s names of checks.

        Args:
            channel: ``mono`` refuses more than one channel.
            sample_rate: that it should have, in Hz; None: any.

        >>> AudioHeader(n_samples=9, sample_rate=16000, channels=1).list_faults(sample_rate=8000)
        {'wrong-rate': 'has 16000 Hz where 8000 Hz are expected'}
        """
        faults = {"unreadable": self.fault} if self.fault else {}
        if self.channels > 1 and channel == "mono":
            faults["wrong-channels"] = f"has {self.channels} channels where one is expected"
        if sample_rate and self.sample_rate not in (0, sample_rate):
            text = f"has {self.sample_rate} Hz where {sample_rate} Hz are expected"
            faults["wrong-rate"] = text
        return faults


def read_header(path: Path) -> AudioHeader:
    """Look at a file's header and its last sample; whatever is wrong is in ``fault``."""
    path = locate_recording(path)
    if is_decoded_whole(path):
        return _decode_header(path)
    try:
        with soundfile.SoundFile(path) as file:
            return _describe(file, find_missing_samples(file) or _find_missing_end(file))
    except DECODING_ERRORS as error:
        return AudioHeader(fault=_explain(path, error))


def _explain(path: Path, error: BaseException) -> str:
    return explain_decoding(path, error) if path.is_file() else ABSENT


def read_samples(path: Path) -> tuple[np.ndarray, AudioHeader]:
    """Decode a file; its fault, if there is one, is in the header that is returned, not raised.

    Returns:
        float32 ``(time,)``, or ``(time, channels)`` of several; empty where there is a fault.
    """
    header, nothing = AudioHeader(), np.empty(0, np.float32)
    try:
        with soundfile.SoundFile(path) as file:
            header = _describe(file, find_missing_samples(file))
            if header.fault:
                return nothing, header
            samples = file.read(dtype="float32")
    except DECODING_ERRORS as error:
        # libsndfile does not say why; the last sample tells a cut file from a corrupt one
        cut = header.n_samples > 0 and read_header(path).fault == TRUNCATED
        fault = TRUNCATED if cut else _explain(path, error)
        return nothing, dataclasses.replace(header, fault=fault)
    if len(samples) < header.n_samples:
        return nothing, dataclasses.replace(header, fault=TRUNCATED)
    return samples, header


def _find_missing_end(file: soundfile.SoundFile) -> str:
    """FLAC's header states a length too, which only reading the last sample confirms."""
    try:
        file.seek(file.frames - 1)
        return "" if len(file.read(1, dtype="float32")) == 1 else TRUNCATED
    except soundfile.LibsndfileError:
        return TRUNCATED


def _describe(file: soundfile.SoundFile, fault: str) -> AudioHeader:
    return AudioHeader(
        n_samples=file.frames,
        sample_rate=file.samplerate,
        channels=file.channels,
        is_float=file.subtype in ("FLOAT", "DOUBLE"),
        fault=fault,
    )


def _decode_header(path: Path) -> AudioHeader:
    """G.722 and GSM without a header: only decoding tells their length."""
    try:
        samples, sample_rate = read_audio(path)
    except UserError as error:
        return AudioHeader(fault=str(error).removeprefix(f"{path}: ").rstrip("."))
    return AudioHeader(n_samples=len(samples), sample_rate=sample_rate, channels=samples.shape[1])
