"""What containers state of their length where libsndfile does not compare it with what is there.

AU, NIST sphere, Wave64 and RF64 state the bytes of their samples; Ogg (Vorbis, Opus) is a sequence
of pages that each state their own, a number and a checksum. Elsewhere libsndfile itself notes the
difference.
"""

import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from separation.audio.flac import holds_more_flac

OGG_HEAD_BYTES, OGG_LAST = 27, 4  # of a page's head; the flag of a stream's last page
HEAD_BYTES = 1 << 12
NOT_STATED = {0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}
MIRRORED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
NIST_HEAD_BYTES = 1024  # of nearly every file, as are these where a header lacks one of them
NIST_FIELDS = {"sample_count": 0, "channel_count": 1, "sample_n_bytes": 2}
SPARE_BYTES, PADDING_BYTES = 1 << 10, 16
TAGS = (b"ID3", b"TAG", b"APETAGEX")
TRUNCATED, DAMAGED = "is truncated", "is damaged in the middle"
HOLDS_MORE = "states fewer samples than it holds"
AU_SAMPLE_BYTES = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
AU_SAMPLE_BYTES |= {"ULAW": 1, "ALAW": 1}
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def is_cut_off(path: Path, container: str) -> bool:
    """Whether a file ends before what it states.

    Args:
        path: of the file.
        container: libsndfile's name of it, such as ``OGG``.
    """
    find_end = FIND_END.get(container)
    if find_end is None:
        return False
    with open(path, "rb") as handle:
        end = find_end(handle.read(HEAD_BYTES))
    return path.stat().st_size < end


def holds_more(path: Path, container: str) -> bool:
    """Whether far more bytes lie behind the samples that a header states than belong there.

    Of WAV other chunks and tags may follow; there a hundredth of the samples is let pass, unless
    the header counts what follows among its chunks and it is none. AU and NIST sphere end with
    their samples. Zeros may follow everywhere.

    Args:
        path: of the file.
        container: libsndfile's name of it.
    """
    if container == "FLAC":
        return holds_more_flac(path)
    if container not in ("WAV", "WAVEX", "AU", "NIST"):
        return False
    size = path.stat().st_size
    with open(path, "rb") as handle:
        if container in FIND_END:
            end, n_spare = FIND_END[container](handle.read(HEAD_BYTES)), PADDING_BYTES
        else:
            end = _find_end_of_wav(handle, size)
            n_spare = (
                PADDING_BYTES if _is_whole_riff(handle, end, size) else SPARE_BYTES + end // 100
            )
        if not end or size - end <= n_spare:
            return False
        handle.seek(end)
        rest = handle.read(HEAD_BYTES)
    return bool(rest.strip(b"\0")) and not rest.lstrip(b"\0").startswith(TAGS)


def _find_end_of_wav(handle: BinaryIO, size: int) -> int:
    """First byte behind the chunk of samples and those that follow it; 0: it does not say."""
    place, seen = 12, False
    while place + 8 <= size:
        handle.seek(place)
        head = handle.read(8)
        n_bytes = int.from_bytes(head[4:], "little")
        is_chunk = all(0x20 <= byte < 0x7F for byte in head[:4]) and place + 8 + n_bytes <= size
        if not is_chunk:
            return place if seen else 0
        seen = seen or head[:4] == b"data"
        place += 8 + n_bytes + n_bytes % 2
    return place if seen else 0


def _is_whole_riff(handle: BinaryIO, end: int, size: int) -> bool:
    """Whether a header's size is the file's and what follows the chunks is none by a pad's lack."""
    if not end:  # of a pipe, whose header states no length
        return False
    handle.seek(4)
    stated = int.from_bytes(handle.read(4), "little")
    handle.seek(end - 1)
    return stated + 8 == size and not all(0x20 <= byte < 0x7F for byte in handle.read(4))


def find_ogg_fault(path: Path) -> str:
    """What the pages of an Ogg file tell of samples that are not there (RFC 3533); else empty.

    libsndfile goes on behind a damaged page as if there had been none, or stops there.

    Returns:
        ``is truncated``, ``is damaged in the middle``, or nothing.
    """
    data = path.read_bytes()
    numbers: dict[bytes, int] = {}  # by the stream's serial number
    place, flags = 0, OGG_LAST
    while place < len(data):
        n_segments = data[place + 26] if len(data) > place + 26 else 0
        body = place + OGG_HEAD_BYTES + n_segments
        end = body + sum(data[place + OGG_HEAD_BYTES : body])
        if data[place : place + 4] != b"OggS"[: len(data) - place]:
            return DAMAGED
        if len(data) < max(end, place + OGG_HEAD_BYTES):
            return TRUNCATED
        head, serial = data[place:body], data[place + 14 : place + 18]
        number, stated = (int.from_bytes(head[at : at + 4], "little") for at in (18, 22))
        blank = head[:22] + bytes(4) + head[26:]
        if (
            numbers.get(serial, number - 1) != number - 1
            or sum_ogg(blank + data[body:end]) != stated
        ):
            return DAMAGED
        numbers[serial], flags, place = number, head[5], end
    return "" if flags & OGG_LAST else TRUNCATED


def sum_ogg(page: bytes) -> int:
    """Ogg's checksum: zlib's polynomial with the bits in the other order, from zero.

    >>> hex(sum_ogg(b"OggS"))
    '0x5fb0a94f'
    """
    mirrored = zlib.crc32(page.translate(MIRRORED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _find_end_of_au(head: bytes) -> int:
    offset, n_bytes = (int.from_bytes(head[at : at + 4], "big") for at in (4, 8))
    return 0 if n_bytes in NOT_STATED else offset + n_bytes


def ends_within_frame(path: Path, n_channels: int, subtype: str) -> bool:
    """Whether an AU file states bytes that are no whole number of its frames.

    Args:
        path: of the file.
        n_channels: that it states.
        subtype: libsndfile's name of its samples' form.
    """
    n_each = AU_SAMPLE_BYTES.get(subtype, 0)
    with open(path, "rb") as handle:
        n_bytes = int.from_bytes(handle.read(12)[8:], "big")
    return n_each > 0 and n_bytes not in NOT_STATED and n_bytes % (n_channels * n_each) > 0


def _find_end_of_nist(head: bytes) -> int:
    stated = dict(NIST_FIELDS)
    for name in stated:
        if found := re.search(rf"{name} -i (\d+)".encode(), head):
            stated[name] = int(found[1])
    text = head[8:16].strip()
    n_head = int(text) if text.isdigit() else NIST_HEAD_BYTES
    return n_head + math.prod(stated.values()) if stated["sample_count"] else 0


def _find_end_of_w64(head: bytes) -> int:
    """The size of a chunk of Wave64 holds its own head."""
    start = head.find(W64_DATA)
    n_bytes = int.from_bytes(head[start + 16 : start + 24], "little") if start >= 0 else 0
    return 0 if n_bytes in NOT_STATED else start + n_bytes


def _find_end_of_rf64(head: bytes) -> int:
    start, sizes = head.find(b"data"), head.find(b"ds64")
    n_bytes = (
        int.from_bytes(head[sizes + 16 : sizes + 24], "little") if min(start, sizes) >= 0 else 0
    )
    return 0 if n_bytes in NOT_STATED else start + 8 + n_bytes


FIND_END: dict[str, Callable[[bytes], int]] = {  # first byte behind the samples; 0: not stated
    "AU": _find_end_of_au,
    "NIST": _find_end_of_nist,
    "W64": _find_end_of_w64,
    "RF64": _find_end_of_rf64,
}
