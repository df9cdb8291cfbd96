"""Audio in Kaldi's archives, as Kaldi and kaldiio write it: ``raw.ark:17``, ``raw.ark:17[0:7999]``.

An entry is a file (WAV, FLAC or what else libsndfile reads), a file or NumPy array behind its
length (kaldiio's ``AUDIO`` and ``NPY``), or a vector or matrix of floats: binary, compressed
(Kaldi's ``compressed-matrix.h``) or text. What holds no file states no sample rate. Pickled
objects are refused, since a data file must not act by itself.
"""

import io
import math
import os
import re
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from separation.audio.files import read_audio
from separation.errors import MissingInputError, UserError

PLACE = re.compile(r"(.+):(\d+)(?:\[(\d+):(\d+)\])?")
UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # of WAV that was written to a pipe
FLOATS = {"FM": ("<f4", 2), "FV": ("<f4", 1), "DM": ("<f8", 2), "DV": ("<f8", 1)}
COMPRESSED = {"CM": ("u1", 65535), "CM2": ("<u2", 65535), "CM3": ("u1", 255)}
LARGEST_FRACTION = 8.0  # peaks above are of samples as 16-bit numbers, Kaldi's habit
FULL_SCALE = np.float32(32768)
CUT = "ends before its entry does; write the archive again"
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
BAD_ARRAY = (  # what NumPy and Python's own parser say of a header
    *(ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError, RecursionError),
    MemoryError,
)
INT32 = b"\4"  # the size of a number in bytes
LONGEST_TEXT = 1 << 28  # bytes of a matrix that is written as text


@dataclass(frozen=True)
class Place:
    """Where an utterance lies: archive, offset in bytes, first and last sample of a range."""

    path: Path
    offset: int
    first: int = 0
    last: int | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.offset}"


def parse_place(text: str) -> Place | None:
    """The place that a text names; None for other texts.

    >>> parse_place("raw.ark:17[0:7999]").last, parse_place("raw.ark")
    (7999, None)
    """
    found = PLACE.fullmatch(text)
    if found is None:
        return None
    first, last = int(found[3] or 0), int(found[4]) if found[4] else None
    return Place(Path(found[1]), int(found[2]), first, last)


def read_archived(place: Place, matrix_rate: int = 0) -> tuple[np.ndarray, int]:
    """Samples ``(time, channels)``, float32, and sample rate of an entry.

    Args:
        matrix_rate: Hz, of entries that state none; 0: not known.

    Raises:
        MissingInputError: there is no such archive.
        UserError: it holds no audio there, or of unknown rate, or ends before the entry does.
    """
    if not place.path.is_file():
        raise MissingInputError(f"{place.path}: is not there; check the path.")
    with open(place.path, "rb") as handle:
        handle.seek(place.offset)
        samples, rate = _read_entry(handle, place, matrix_rate)
    if place.last is not None and not place.first <= place.last < len(samples):
        raise UserError(
            f"{place}: has no samples {place.first} to {place.last}, but {len(samples)} in all"
        )
    end = None if place.last is None else place.last + 1
    return samples[place.first : end], rate


def _read_entry(handle: BinaryIO, place: Place, matrix_rate: int) -> tuple[np.ndarray, int]:
    head = handle.read(5)
    handle.seek(place.offset)
    if head == b"AUDIO" or head[:3] == b"NPY":
        handle.seek(place.offset + (5 if head == b"AUDIO" else 3))
        n_bytes = int.from_bytes(handle.read(_read_exactly(handle, 1, place)[0]), "little")
        data = _read_exactly(handle, n_bytes, place)
        if head == b"AUDIO":
            return decode_bytes(data, str(place))
        return _scale(_load(data, place), place, matrix_rate)
    if head[:2] == b"\0B":
        handle.seek(place.offset + 2)
        return _scale(_read_numbers(handle, place), place, matrix_rate)
    if head[:3] == b"PKL":
        raise UserError(f"{place}: is a pickled object, which may act by itself; write audio files")
    if head.lstrip()[:1] == b"[":
        return _scale(_read_text(handle, place), place, matrix_rate)
    if head[:4] == b"RIFF":
        return decode_bytes(_read_riff(handle, place), str(place))
    return _decode_tail(handle, place)


def _read_exactly(handle: BinaryIO, n_bytes: int, place: Place) -> bytes:
    """So many bytes; a length that the file cannot hold is not asked of the memory."""
    if not 0 <= n_bytes <= os.fstat(handle.fileno()).st_size - handle.tell():
        raise UserError(f"{place}: {CUT}")
    return handle.read(n_bytes)


def _read_riff(handle: BinaryIO, place: Place) -> bytes:
    head = _read_exactly(handle, 8, place)
    n_bytes = int.from_bytes(head[4:8], "little")
    if n_bytes in UNKNOWN_SIZES:
        raise UserError(f"{place}: is no WAV that states its length; write plain audio files")
    return head + _read_exactly(handle, n_bytes, place)


class _Tail(io.RawIOBase):
    """A file from an offset on, as a file."""

    def __init__(self, handle: BinaryIO, offset: int) -> None:
        self._handle, self._offset = handle, offset

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        return self._handle.readinto(buffer)  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = self._offset if whence == os.SEEK_SET else 0
        return self._handle.seek(start + offset, whence) - self._offset

    def tell(self) -> int:
        return self._handle.tell() - self._offset


def _decode_tail(handle: BinaryIO, place: Place) -> tuple[np.ndarray, int]:
    """A file that states its number of samples, with whatever lies behind it."""
    try:
        with soundfile.SoundFile(_Tail(handle, place.offset)) as file:
            samples = file.read(dtype="float32", always_2d=True)
            if len(samples) == file.frames > 0:
                return samples, file.samplerate
    except soundfile.LibsndfileError as error:
        raise UserError(f"{place}: holds no audio ({error}); check wav.scp") from error
    raise UserError(f"{place}: {CUT}")


def decode_bytes(data: bytes, name: str) -> tuple[np.ndarray, int]:
    """Samples ``(time, channels)`` and rate of a whole file in memory.

    Raises:
        UserError: as :func:`separation.audio.files.read_audio`, under the name that is given.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "entry")
        path.write_bytes(data)
        try:
            return read_audio(path)
        except UserError as error:
            raise UserError(str(error).replace(str(path), name)) from error


def _load(data: bytes, place: Place) -> np.ndarray:
    """A NumPy array, no longer than its bytes, and without Python objects."""
    stream = io.BytesIO(data)
    try:
        read_header = NPY_HEADERS[np.lib.format.read_magic(stream)]
        shape, is_fortran, dtype = read_header(stream)
        numbers = np.frombuffer(data, dtype, math.prod(shape), stream.tell())
        return numbers.reshape(shape, order="F" if is_fortran else "C")
    except BAD_ARRAY as error:
        raise UserError(
            f"{place}: holds no array of samples ({error}); write audio files"
        ) from error


def _read_numbers(handle: BinaryIO, place: Place) -> np.ndarray:
    """A binary vector or matrix, behind its mark; of integers each has its size before it."""
    kind = _read_exactly(handle, 1, place)
    if kind == INT32:
        n_numbers = _read_int(_read_exactly(handle, 4, place))
        sized = np.frombuffer(_read_exactly(handle, 5 * n_numbers, place), "i1, <i4")
        return sized["f1"]
    while not kind.endswith(b" ") and len(kind) < 5:
        kind += _read_exactly(handle, 1, place)
    name = kind.decode("ascii", "replace").strip()
    if name in COMPRESSED:
        return _decompress(handle, name, place)
    if name not in FLOATS:
        raise UserError(f"{place}: holds no audio ({name!r}); check wav.scp")
    dtype, n_axes = FLOATS[name]
    shape = [_read_int(_read_exactly(handle, 5, place)[1:]) for _ in range(n_axes)]
    return _read_array(handle, dtype, shape, place)


def _read_array(handle: BinaryIO, dtype: str, shape: list[int], place: Place) -> np.ndarray:
    """Numbers one behind the other, of a shape that the entry states."""
    if min(shape) < 0:
        raise UserError(f"{place}: states the shape {shape}; write the archive again")
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    return np.frombuffer(_read_exactly(handle, n_bytes, place), dtype).reshape(shape)


def _read_int(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _decompress(handle: BinaryIO, name: str, place: Place) -> np.ndarray:
    """``(rows, columns)``, by the formulas of Kaldi's ``compressed-matrix.cc``."""
    dtype, steps = COMPRESSED[name]
    head = _read_exactly(handle, 16, place)
    low, span = np.frombuffer(head, "<f4", 2)
    n_rows, n_columns = _read_int(head[8:12]), _read_int(head[12:])
    if name != "CM":
        numbers = _read_array(handle, dtype, [n_rows, n_columns], place).astype(np.float32)
        return low + span * np.float32(1 / steps) * numbers
    numbers = _read_array(handle, "<u2", [n_columns, 4], place).astype(np.float32)
    percentiles = low + span * np.float32(1 / 65535) * numbers
    numbers = _read_array(handle, dtype, [n_columns, n_rows], place).astype(np.float32)
    columns = zip(percentiles, numbers, strict=True)
    if not n_columns:
        return numbers
    return np.stack([np.interp(own, (0, 64, 192, 255), points) for points, own in columns], axis=1)


def _read_text(handle: BinaryIO, place: Place) -> np.ndarray:
    text, ended, _ = handle.read(LONGEST_TEXT).partition(b"]")
    if not ended:
        raise UserError(f"{place}: {CUT}")
    lines = text.replace(b"[", b"").decode("ascii", "replace").split("\n")
    try:
        rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
        return np.array(rows)
    except ValueError as error:
        raise UserError(f"{place}: holds no audio ({error}); check wav.scp") from error


def _scale(numbers: np.ndarray, place: Place, matrix_rate: int) -> tuple[np.ndarray, int]:
    """Numbers as samples of full scale 1; their longer axis is time."""
    if not matrix_rate:
        raise UserError(
            f"{place}: numbers that state no sample rate; set corpus.archive_rate to it, in Hz"
        )
    wide = np.atleast_2d(numbers)
    if wide.ndim > 2 or not wide.size or wide.dtype.kind not in "fiu":
        raise UserError(f"{place}: holds no samples (shape {numbers.shape}, {numbers.dtype})")
    samples = (wide if wide.shape[0] >= wide.shape[1] else wide.T).astype(np.float32)
    if not np.isfinite(samples).all():
        raise UserError(f"{place}: holds NaN or infinite samples; write it again")
    if np.abs(samples).max() > LARGEST_FRACTION:
        samples /= FULL_SCALE
    return np.ascontiguousarray(samples), matrix_rate
