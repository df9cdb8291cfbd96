"""Reading recordings of any format into mono samples, with clear complaints."""

from pathlib import Path

import numpy as np
import soundfile

from separation.errors import MissingInputError, UserError

AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".g722",
    ".gsm",
    ".opus",
    ".oga",
    ".aif",
    ".aiff",
}


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Decode a file.

    Headerless G.722 (``.g722``, 64 kbit/s, 16 kHz) and GSM 06.10 (``.gsm``, 8 kHz)
    are told by their suffix; everything else is what libsndfile reads.

    Returns:
        float32 samples ``(time, channels)`` and the sample rate in Hz.

    Raises:
        MissingInputError: there is no such file.
        UserError: the file cannot be decoded, is empty or holds non-finite samples.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such audio file; check the path.")
    try:
        samples, sample_rate = _decode(path)
    except (soundfile.LibsndfileError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path}: cannot be decoded ({error}); convert it to WAV or FLAC, or remove it."
        ) from error
    if samples.size == 0:
        raise UserError(f"{path}: holds no samples; remove it or record it again.")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds NaN or infinite samples; export it again.")
    return samples, sample_rate


def _decode(path: Path) -> tuple[np.ndarray, int]:
    if path.suffix == ".g722":
        from G722 import G722

        pcm = G722(16000, 64000).decode(path.read_bytes())
        return (np.asarray(pcm, np.float32) / 32768)[:, None], 16000
    if path.suffix == ".gsm":
        raw = {"format": "RAW", "subtype": "GSM610", "samplerate": 8000, "channels": 1}
        return soundfile.read(path, dtype="float32", always_2d=True, **raw)
    return soundfile.read(path, dtype="float32", always_2d=True)


def read_mono(path: Path, channel: str = "mono") -> tuple[np.ndarray, int]:
    """Read one channel.

    Args:
        path: any file that :func:`read_audio` reads.
        channel: ``mono`` refuses more than one channel, ``first`` takes channel 0,
            ``mean`` averages.

    Returns:
        float32 samples ``(time,)`` and the sample rate in Hz.
    """
    samples, sample_rate = read_audio(path)
    if samples.shape[1] > 1 and channel == "mono":
        raise UserError(
            f"{path}: has {samples.shape[1]} channels where one is expected; convert it to "
            "mono, or choose with --set corpus.channel=first or corpus.channel=mean."
        )
    mono = samples.mean(axis=1) if channel == "mean" else samples[:, 0]
    return np.ascontiguousarray(mono, np.float32), sample_rate
