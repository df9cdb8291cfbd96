"""WAV through pipes, as it comes: neither side knows how long it will be, and nobody can seek."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from separation.errors import UserError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN_BYTES = 0xFFFFFFFF  # a length that a header to a pipe states, as ffmpeg and sox do
LARGEST_BYTES = 0x7FFFF000  # from here on a stated length is none: zero and these are read on
MAX_CHANNELS = 64
MAX_HEADER_BYTES = 1 << 20
SAMPLE_TYPES = {(PCM, 16): "<i2", (PCM, 32): "<i4", (FLOAT, 32): "<f4", (FLOAT, 64): "<f8"}
BITS = {"16": (PCM, 16), "24": (PCM, 24), "float": (FLOAT, 32)}


@dataclass(kw_only=True)
class PipedAudio:
    """Samples of an open pipe.

    Attributes:
        source: at the first sample.
        samplerate: Hz.
        channels: of a frame.
        form: of :data:`SAMPLE_TYPES`, or 24 bits.
        n_left: bytes that are still to come; None: until the end.
    """

    source: BinaryIO
    samplerate: int
    channels: int
    form: tuple[int, int] = (PCM, 16)
    n_left: int | None = None

    def read(self, n_frames: int) -> np.ndarray:
        """The next float32 ``(time, channels)``: fewer than asked for at the end only."""
        n_bytes = n_frames * self.channels * self.form[1] // 8
        if self.n_left is not None:
            n_bytes = min(n_bytes, self.n_left)
        data = self.source.read(n_bytes)  # waits until all are there
        if self.n_left is not None:
            self.n_left -= len(data)
        frame = self.channels * self.form[1] // 8
        return decode_pcm(data[: len(data) // frame * frame], self.form).reshape(-1, self.channels)


def decode_pcm(data: bytes, form: tuple[int, int]) -> np.ndarray:
    """Bytes of whole samples to float32, full scale at 1.

    >>> decode_pcm(bytes([0, 0, 64]), (PCM, 24))
    array([0.5], dtype=float32)
    """
    if form == (PCM, 24):
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / 2**31
    samples = np.frombuffer(data, SAMPLE_TYPES[form])
    scale = 1 if form[0] == FLOAT else 2 ** (form[1] - 1)
    return samples.astype(np.float32) / np.float32(scale)


def open_wav_pipe(source: BinaryIO, name: str = "stdin") -> PipedAudio:
    """Read a WAV header up to the first sample.

    Raises:
        UserError: it is no WAV, or of a kind that is not read here.
    """
    head = source.read(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        what = "is empty" if not head else "is no WAV"
        raise UserError(
            f"{name}: {what}; pipe WAV into it, or 16-bit samples of one channel with --raw HZ."
        )
    form = None
    while True:
        kind, size = _read_chunk_head(source, name)
        if kind == b"data":
            break
        if size > MAX_HEADER_BYTES:
            raise UserError(
                f"{name}: has a chunk of {size} bytes before its samples; write it anew."
            )
        body = source.read(size + size % 2)
        form = body if kind == b"fmt " else form
    if form is None or len(form) < 16:
        raise UserError(f"{name}: does not say how its samples are written; write it anew.")
    known = 0 < size < LARGEST_BYTES
    return _read_format(form, source, size if known else None, name)


def _read_chunk_head(source: BinaryIO, name: str) -> tuple[bytes, int]:
    head = source.read(8)
    if len(head) < 8:
        raise UserError(f"{name}: ends within its header; pipe a whole WAV into it.")
    return head[:4], struct.unpack("<I", head[4:])[0]


def _read_format(fmt: bytes, source: BinaryIO, n_left: int | None, name: str) -> PipedAudio:
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", fmt[:16])
    if kind == EXTENSIBLE and len(fmt) >= 26:
        kind = struct.unpack("<H", fmt[24:26])[0]
    if (kind, bits) not in {*SAMPLE_TYPES, (PCM, 24)}:
        raise UserError(
            f"{name}: holds samples of WAV format {kind} with {bits} bits; pipe 16, 24 or 32 bits, "
            "or floats."
        )
    if not 1 <= channels <= MAX_CHANNELS or not 1000 <= rate <= 768_000:
        raise UserError(f"{name}: states {channels} channels at {rate} Hz; write its header anew.")
    return PipedAudio(
        source=source, samplerate=rate, channels=channels, form=(kind, bits), n_left=n_left
    )


class WavPipe:
    """A WAV file written to a pipe, its length left open.

    Attributes:
        n_clipped: samples beyond full scale, which whole numbers do not hold.
    """

    def __init__(self, target: BinaryIO, sample_rate: int, channels: int, bits: str) -> None:
        self.target, self.form, self.n_clipped = target, BITS[bits], 0
        frame = channels * self.form[1] // 8
        fmt = struct.pack(
            "<HHIIHH",
            *(self.form[0], channels, sample_rate, sample_rate * frame, frame, self.form[1]),
        )
        head = b"RIFF" + struct.pack("<I", UNKNOWN_BYTES) + b"WAVEfmt " + struct.pack("<I", 16)
        self.target.write(head + fmt + b"data" + struct.pack("<I", UNKNOWN_BYTES))
        self.target.flush()

    def write(self, block: np.ndarray) -> None:
        """Append ``(time, channels)`` and hand it on at once."""
        if self.form[0] == FLOAT:
            self.target.write(block.astype("<f4").tobytes())
        else:
            self.n_clipped += int(np.count_nonzero(np.abs(block) > 1))
            n_bytes = self.form[1] // 8
            scaled = np.rint(
                np.clip(block, -1, 1).astype(np.float64) * (2 ** (self.form[1] - 1) - 1)
            )
            wide = scaled.astype("<i4").reshape(-1, 1).view(np.uint8)
            self.target.write(np.ascontiguousarray(wide[:, :n_bytes]).tobytes())
        self.target.flush()
