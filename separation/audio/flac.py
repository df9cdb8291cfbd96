"""Whether a FLAC file's last frame lies behind the samples that its header states (RFC 9639).

Decoders stop at the header's number, so what lies behind would be left out without a word.
"""

import functools
from pathlib import Path

INFO_BYTES = 42  # of the file's mark and its first block, STREAMINFO
LONGEST_FRAME = 1 << 16  # bytes, where the header states none
FIXED, VARIABLE = b"\xff\xf8", b"\xff\xf9"  # how a frame of equal or other sizes begins
RATE_BYTES = {12: 1, 13: 2, 14: 2}  # by the code of the rate, behind the number


def holds_more_flac(path: Path) -> bool:
    """Whether a file holds whole frames behind the samples that it states."""
    with open(path, "rb") as handle:
        info = handle.read(INFO_BYTES)
        if len(info) < INFO_BYTES or info[:5] not in (b"fLaC\0", b"fLaC\x80"):
            return False
        n_longest = int.from_bytes(info[15:18], "big") or LONGEST_FRAME
        handle.seek(max(0, path.stat().st_size - n_longest))
        tail = handle.read()
    block, n_stated = int.from_bytes(info[10:12], "big"), int.from_bytes(info[21:26], "big")
    return _find_end(tail, block, n_stated & (1 << 36) - 1) > (n_stated & (1 << 36) - 1)


def _find_end(tail: bytes, block: int, n_stated: int) -> int:
    """Samples up to the end of the last frame; 0 where none is seen, as before a tag.

    Args:
        tail: the file's last bytes.
        block: samples of a frame, where all are equal but the last.
        n_stated: a frame that ends there needs no checksum of its body.
    """
    place = len(tail)
    while (place := max(tail.rfind(FIXED, 0, place), tail.rfind(VARIABLE, 0, place))) >= 0:
        end = find_frame_end(tail[place : place + 16], block)
        if end and (end == n_stated or sum_crc(tail[place:], 16, 0x8005) == 0):
            return end
    return 0


def find_frame_end(head: bytes, block: int) -> int:
    """Samples up to the end of a frame, by its head; 0 where these bytes are none, by its checksum.

    Args:
        head: 16 bytes, or what is left.
        block: samples of a frame of a stream of equal ones.
    """
    if len(head) < 6:
        return 0
    n_more = f"{head[4]:08b}".index("0") if head[4] != 0xFF else 8  # as UTF-8 does
    n_number = max(1, n_more)
    size_code, rate_code = head[2] >> 4, head[2] & 15
    n_size = {6: 1, 7: 2}.get(size_code, 0)
    behind = 4 + n_number
    n_head = behind + n_size + RATE_BYTES.get(rate_code, 0) + 1
    if n_more in (1, 8) or size_code == 0 or sum_crc(head[:n_head], 8, 0x07):
        return 0
    number = head[4] & (0x7F >> n_more)
    for byte in head[5:behind]:
        number = number << 6 | byte & 0x3F
    if n_size:
        n_samples = int.from_bytes(head[behind : behind + n_size], "big") + 1
    else:
        n_samples = _decode_size(size_code)
    start = number if head[:2] == VARIABLE else number * block
    return start + n_samples


def _decode_size(code: int) -> int:
    if code == 1:
        return 192
    return 576 << code - 2 if code < 6 else 256 << code - 8


def sum_crc(data: bytes, n_bits: int, polynomial: int) -> int:
    """A cyclic redundancy check, from zero; 0 over data with its own check behind it.

    >>> hex(sum_crc(b"123456789", 8, 0x07)), hex(sum_crc(b"123456789", 16, 0x8005))
    ('0xf4', '0xfee8')
    """
    value, table, mask = 0, _make_table(n_bits, polynomial), (1 << n_bits) - 1
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> n_bits - 8 ^ byte]
    return value


@functools.cache
def _make_table(n_bits: int, polynomial: int) -> list[int]:
    """What a byte makes of a check."""
    table = []
    for byte in range(256):
        value = byte << n_bits - 8
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> n_bits - 1 & 1 else 0)
        table.append(value & (1 << n_bits) - 1)
    return table
