"""What containers state of their length where libsndfile does not compare it with what is there.

AU, NIST sphere, Wave64 and RF64 state the bytes of their samples; Ogg (Vorbis, Opus) is a sequence
of pages that each state their own, the last one marked. Elsewhere libsndfile itself notes the
difference.
"""

import re
from collections.abc import Callable
from pathlib import Path

OGG_TAIL_BYTES = 1 << 17  # two pages of the largest size
END_OF_STREAM = 4  # in the flags of a page
HEAD_BYTES = 1 << 12
NOT_STATED = {0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


def is_cut_off(path: Path, container: str) -> bool:
    """Whether a file ends before what it states.

    Args:
        path: of the file.
        container: libsndfile's name of it, such as ``OGG``.
    """
    if container == "OGG":
        return _lacks_pages(path)
    find_end = FIND_END.get(container)
    if find_end is None:
        return False
    with open(path, "rb") as handle:
        end = find_end(handle.read(HEAD_BYTES))
    return path.stat().st_size < end


def is_mp3_of_unknown_length(path: Path) -> bool:
    """Whether an MP3 file has no header with its number of frames, so that it can only be guessed.

    The first frame holds it as Xing, Info or VBRI; an ID3 tag may lie before that.
    """
    if path.suffix.lower() != ".mp3" or not path.is_file():
        return False
    with open(path, "rb") as handle:
        tag = handle.read(10)
        n_bytes = 0
        if tag[:3] == b"ID3":
            for seven_bits in tag[6:10]:
                n_bytes = n_bytes << 7 | seven_bits
        handle.seek(n_bytes + len(tag) if n_bytes else 0)
        head = handle.read(HEAD_BYTES)
    return not any(name in head for name in (b"Xing", b"Info", b"VBRI"))


def _lacks_pages(path: Path) -> bool:
    """Whether the last page of an Ogg file is cut, or not marked as a stream's last (RFC 3533)."""
    with open(path, "rb") as handle:
        handle.seek(max(0, path.stat().st_size - OGG_TAIL_BYTES))
        tail = handle.read()
    start = tail.rfind(b"OggS\0")
    if start < 0:
        return False
    page = tail[start:]
    n_segments = page[26] if len(page) > 26 else 255
    lengths = page[27 : 27 + n_segments]
    if len(lengths) < n_segments or len(page) < 27 + n_segments + sum(lengths):
        return True
    return not page[5] & END_OF_STREAM


def _find_end_of_au(head: bytes) -> int:
    offset, n_bytes = (int.from_bytes(head[at : at + 4], "big") for at in (4, 8))
    return 0 if n_bytes in NOT_STATED else offset + n_bytes


def _find_end_of_nist(head: bytes) -> int:
    names = ("sample_count", "channel_count", "sample_n_bytes")
    found = [re.search(rf"{name} -i (\d+)".encode(), head) for name in names]
    if not all(found):
        return 0
    n_samples, n_channels, n_bytes = (int(match[1]) for match in found if match is not None)
    header = head[8:16].strip()
    return int(header) + n_samples * n_channels * n_bytes if header.isdigit() else 0


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
