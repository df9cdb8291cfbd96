"""Reading recordings of any format into mono samples, with clear complaints."""

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

try:
    import miniaudio
except ImportError:  # pragma: no cover
    miniaudio = None

from separation.audio.containers import (
    HOLDS_MORE,
    TRUNCATED,
    ends_within_frame,
    find_ogg_fault,
    holds_more,
    is_cut_off,
)
from separation.audio.mp3 import find_lost_frames, find_mp3_fault, is_mp3_of_unknown_length
from separation.errors import MissingInputError, UserError
from separation.files import locate_recording

DECODED_WHOLE = (".g722", ".gsm")  # formats without a header
ABSENT, EMPTY = "is not there", "holds no samples"
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000  # Hz, of anything that holds speech
MOST_CHANNELS = 256
NO_LENGTH = "states no length, as FLAC written to a pipe does; encode it into a file"
# Programs that write WAV to a pipe do not know the size; they state this, or a little less.
UNKNOWN_SIZE_BYTES = 0x7FFFF000
MP3_SLACK_SAMPLES = 4 * 1152  # frames that decoders skip or add at the ends
UNKNOWN_FRAMES = 1 << 62  # libsndfile's count for a FLAC file that states none is above
MOST_PER_BYTE = 8192  # samples: FLAC has 65,535 equal ones in a frame of 14 bytes
PLAIN_SUBTYPES = ("PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
PLAIN_WAV = re.compile(  # PCM, float, and the extensible form of either
    r"Format +: 0x(?:1|3|FFFE) .*?Channels +: (\d+).*?Block Align +: (\d+).*?Bit Width +: (\d+)",
    re.DOTALL,
)
STATED_SIZE = re.compile(r"(?:data|SSND) *: (\d+) \(should be (\d+)\)")

AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".g722",
    ".gsm",
    ".opus",
    ".oga",
    ".aif",
    ".aiff",
    ".sph",
}
FFMPEG_SUFFIXES = frozenset(  # compressed audio and films that only ffmpeg decodes
    {".m4a", ".m4b", ".aac", ".wma", ".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".3gp"}
    | {".amr", ".ac3", ".ape", ".wv", ".tta", ".spx", ".ra"}
)


@functools.cache
def find_ffmpeg() -> str:
    """The program ffmpeg; empty where it is not installed."""
    return shutil.which("ffmpeg") or ""


def is_decoded_whole(path: Path) -> bool:
    """Whether only decoding tells a file's length, since no header of it says so."""
    known = path.suffix.lower() in (*DECODED_WHOLE, *FFMPEG_SUFFIXES)
    return known or is_mp3_of_unknown_length(path)


def read_audio(path: Path, *, allow_cut: bool = False) -> tuple[np.ndarray, int]:
    """Decode a file.

    Headerless G.722 (``.g722``, 64 kbit/s, 16 kHz) and GSM 06.10 (``.gsm``, 8 kHz) are known by
    their suffix, as are files that ffmpeg decodes; everything else is what libsndfile reads.

    Args:
        path: any such file.
        allow_cut: whether what is left of a truncated file is good enough.

    Returns:
        float32 samples ``(time, channels)`` and the sample rate in Hz.

    Raises:
        MissingInputError: there is no such file.
        UserError: the file cannot be decoded, is truncated or empty, or holds non-finite samples.
    """
    path = locate_recording(path)
    if not path.is_file():
        raise MissingInputError(f"{path}: {ABSENT}; check the path.")
    try:
        samples, sample_rate, fault = _decode(path)
    except (soundfile.LibsndfileError, ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"{path}: cannot be decoded ({error}); convert it to WAV or FLAC, or remove it."
        ) from error
    if samples.size == 0:
        raise UserError(f"{path}: {EMPTY}; remove it or record it again.")
    if fault and not allow_cut:
        raise UserError(f"{path}: {fault}; fetch it again, or remove it.")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds NaN or infinite samples; export it again.")
    return samples, sample_rate


def _decode(path: Path) -> tuple[np.ndarray, int, str]:
    """Samples, sample rate, and what is missing."""
    suffix = path.suffix.lower()
    if suffix in FFMPEG_SUFFIXES:
        return *_call_ffmpeg(path), ""
    if suffix == ".g722":
        from G722 import G722

        pcm = G722(16000, 64000).decode(path.read_bytes())
        return (np.asarray(pcm, np.float32) / 32768)[:, None], 16000, ""
    raw = {"format": "RAW", "subtype": "GSM610", "samplerate": 8000, "channels": 1}
    with soundfile.SoundFile(path, **(raw if suffix == ".gsm" else {})) as file:
        if MOST_PER_BYTE * path.stat().st_size < file.frames < UNKNOWN_FRAMES:
            raise ValueError(f"states {file.frames} samples, more than its bytes can hold")
        frames = -1 if file.seekable() else file.frames  # raw GSM cannot be sought in
        samples = file.read(frames, dtype="float32", always_2d=True)
        fault = find_missing_samples(file)
        if is_mp3_of_unknown_length(path):
            if len(samples) == file.frames:
                samples = _read_mp3_to_end(path, samples)
            fault = fault or find_lost_frames(path, len(samples))
        short = file.seekable() and len(samples) < file.frames and not is_decoded_whole(path)
        return samples, file.samplerate, fault or (TRUNCATED if short else "")


def _call_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    """Samples ``(time, channels)`` as 16 bits, and the sample rate, of a file's first sound."""
    with tempfile.TemporaryDirectory() as folder:
        wav = decode_with_ffmpeg(path, Path(folder, "decoded.wav"))
        return soundfile.read(wav, dtype="float32", always_2d=True)


def decode_with_ffmpeg(path: Path, wav: Path) -> Path:
    """Write a file's first sound as 16-bit WAV.

    Raises:
        ValueError: ffmpeg is not installed, or fails.
    """
    if not find_ffmpeg():
        raise ValueError("it needs ffmpeg, which is not installed")
    words = ["-nostdin", "-v", "error", "-xerror", "-y", "-i", str(path), "-vn"]
    words += ["-c:a", "pcm_s16le", "-rf64", "auto", str(wav)]
    done = subprocess.run([find_ffmpeg(), *words], capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").split("\n")
        raise ValueError(f"ffmpeg: {lines[0].strip() or 'failed'}")
    return wav


def _read_mp3_to_end(path: Path, samples: np.ndarray) -> np.ndarray:
    """libsndfile stops at the length that it guesses; miniaudio goes on where there is more."""
    if miniaudio is None:
        return samples
    try:
        whole = miniaudio.mp3_read_file_f32(str(path))
    except miniaudio.MiniaudioError:
        return samples
    found = np.frombuffer(whole.samples, np.float32).reshape(-1, whole.nchannels)
    return found if len(found) > len(samples) + MP3_SLACK_SAMPLES else samples


def find_missing_samples(file: soundfile.SoundFile) -> str:
    """What an open file's header tells of samples that are not there; else empty.

    libsndfile counts the samples that are there, and notes what the header says.
    """
    if fault := find_rate_fault(file):
        return fault
    if file.frames == 0:
        return EMPTY
    if file.frames > UNKNOWN_FRAMES:
        return NO_LENGTH
    remarks = file.extra_info
    stated = STATED_SIZE.search(remarks) if "should be" in remarks else None
    if stated and int(stated[2]) < int(stated[1]) < UNKNOWN_SIZE_BYTES:
        return TRUNCATED
    if file.format == "MP3" and (fault := find_mp3_fault(Path(file.name), file.frames)):
        return fault
    if file.format == "OGG":
        return find_ogg_fault(Path(file.name))
    if file.subtype in PLAIN_SUBTYPES and _contradicts_itself(remarks):
        return "has a header that contradicts itself"
    if file.channels > MOST_CHANNELS:
        return f"states {file.channels} channels, as a damaged header does"
    if file.format == "AU" and ends_within_frame(Path(file.name), file.channels, file.subtype):
        return "has a header that contradicts itself"
    if holds_more(Path(file.name), file.format):
        return HOLDS_MORE
    return TRUNCATED if is_cut_off(Path(file.name), file.format) else ""


def _contradicts_itself(remarks: str) -> bool:
    """Whether libsndfile's notes on a header give two numbers of channels or samples.

    A frame of plain WAV has as many bytes as its channels; AIFF states its length twice.
    """
    if "Frame count read from 'COMM' chunk" in remarks:
        return True
    found = PLAIN_WAV.search(remarks)
    if found is None:
        return False
    n_channels, n_bytes, n_bits = map(int, found.groups())
    return n_bytes != n_channels * ((n_bits + 7) // 8)


def find_rate_fault(file: soundfile.SoundFile) -> str:
    """A sample rate that no recording of speech has, but a damaged header; else empty."""
    if LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        return ""
    return f"states a sample rate of {file.samplerate} Hz, as a damaged header does"


def explain_decoding(path: Path, error: BaseException) -> str:
    """Why libsndfile cannot read a file: the end of a sentence that begins with its name."""
    with open(path, "rb") as handle:
        head = handle.read(1024)
    if head.startswith(b"NIST_1A") and b"shorten" in head:
        return (
            "is Shorten-compressed NIST sphere, which libsndfile does not read; convert "
            "the corpus once with sph2pipe -f wav IN.wv1 OUT.wav (LDC's tool)"
        )
    reason = str(error).split(": ")[-1].rstrip(".") or "it is truncated or corrupt"
    return f"cannot be decoded ({reason}); fetch it again"


def read_mono(
    path: Path, channel: str = "mono", *, allow_cut: bool = False
) -> tuple[np.ndarray, int]:
    """Read one channel.

    Args:
        path: any file that :func:`read_audio` reads.
        channel: ``mono`` refuses more than one channel, ``first`` takes channel 0,
            ``mean`` averages.
        allow_cut: whether what is left of a truncated file is good enough.

    Returns:
        float32 samples ``(time,)`` and the sample rate in Hz.
    """
    samples, sample_rate = read_audio(path, allow_cut=allow_cut)
    if samples.shape[1] > 1 and channel == "mono":
        raise UserError(
            f"{path}: has {samples.shape[1]} channels where one is expected; convert it to "
            "mono, or choose with --set corpus.channel=first or corpus.channel=mean."
        )
    mono = samples.mean(axis=1) if channel == "mean" else samples[:, 0]
    return np.ascontiguousarray(mono, np.float32), sample_rate
