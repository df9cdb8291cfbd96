"""What the frames of an MP3 file tell of samples that a decoder would leave out without a word.

A file of constant or variable rate begins with a frame of silence that holds a tag, ``Xing`` or
``Info``, with the number of frames behind it; libsndfile believes that number.
"""

from dataclasses import dataclass
from pathlib import Path

from separation.audio.containers import DAMAGED, HOLDS_MORE, TRUNCATED

HEAD_BYTES = 1 << 12
SPARE_FRAMES = 3  # what encoders add at the ends, and decoders take off
COUNTING_ENCODERS = (b"LAME", b"Lavc", b"Lavf")  # whose numbers of frames are exact
TAGS, OTHER_TAG = (b"Xing", b"Info"), b"VBRI"
TAG_WITHIN = 4 + 32 + 2 + 4  # bytes of its frame: head, side information, checksum, name
ENCODER_AT = 120  # bytes behind the tag's beginning
RATES_HZ = (44100, 48000, 32000)  # of MPEG 1; 2 and 2.5 have a half and a quarter
KBITS = {  # per second of layer III, by MPEG 1 or not
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True, kw_only=True)
class Mp3Frames:
    """What lies in a file.

    Attributes:
        per_frame: samples of a channel.
        n_held: frames behind the one with the tag, or all.
        n_stated: frames that the tag states; None: it states none, or there is no tag.
        is_exact: whether its encoder counts as we do.
        has_damaged_tag: whether the first frame is a tag's, with something else for its name.
    """

    per_frame: int
    n_held: int
    n_stated: int | None
    is_exact: bool
    has_damaged_tag: bool


def is_mp3_of_unknown_length(path: Path) -> bool:
    """Whether an MP3 file has no header with its number of frames, so that it can only be guessed.

    The first frame holds it as Xing, Info or VBRI; an ID3 tag may lie before that.
    """
    if path.suffix.lower() != ".mp3" or not path.is_file():
        return False
    with open(path, "rb") as handle:
        handle.seek(_measure_id3(handle.read(10)))
        head = handle.read(HEAD_BYTES)
    return not any(name in head for name in (*TAGS, OTHER_TAG))


def find_mp3_fault(path: Path, n_decoded: int) -> str:
    """What is missing of a file's samples, or would be; empty where nothing is known to be.

    Args:
        path: of the file.
        n_decoded: samples of a channel that its decoder counts.
    """
    data = path.read_bytes()
    frames = scan_frames(data)
    if frames is None:
        return DAMAGED if _has_tag_without_frame(data) else ""
    if frames.has_damaged_tag:
        return DAMAGED
    if frames.n_stated is None:
        return ""
    lost = frames.n_held - frames.n_stated
    if lost < -SPARE_FRAMES:
        return TRUNCATED
    if lost > (0 if frames.is_exact else 1):
        return HOLDS_MORE
    n_least = (min(frames.n_held, frames.n_stated) - SPARE_FRAMES) * frames.per_frame
    return DAMAGED if n_decoded < n_least else ""


def find_lost_frames(path: Path, n_decoded: int) -> str:
    """As :func:`find_mp3_fault` of a file without a tag, all of which was decoded."""
    frames = scan_frames(path.read_bytes())
    if frames is None or frames.n_stated is not None:
        return ""
    return DAMAGED if n_decoded < (frames.n_held - SPARE_FRAMES) * frames.per_frame else ""


def _has_tag_without_frame(data: bytes) -> bool:
    """Whether a tag lies at the beginning, and the head of its frame does not."""
    first = _measure_id3(data[:10])
    return any(name in data[first : first + TAG_WITHIN] for name in TAGS)


def scan_frames(data: bytes) -> Mp3Frames | None:
    """Go from frame to frame; None where the first one is not of layer III.

    Args:
        data: of the whole file.
    """
    first = _measure_id3(data[:10])
    length = _measure_frame(data[first : first + 4])
    if not length:
        return None
    is_mpeg_1, is_mono = data[first + 1] >> 3 & 3 == 3, data[first + 3] >> 6 == 3
    n_side = (17 if is_mono else 32) if is_mpeg_1 else (9 if is_mono else 17)
    tag = first + 4 + n_side + 2 * (not data[first + 1] & 1)
    is_exact = data[tag + ENCODER_AT :].startswith(COUNTING_ENCODERS)
    # silence, or an encoder's name and the flags in their places: no frame of sound
    is_tag = not any(data[first + 4 : tag]) or (is_exact and not any(data[tag + 4 : tag + 7]))
    has_tag, is_named = data[tag : tag + 4] in TAGS, is_exact or any(data[tag : tag + 4])
    is_other = data[first + 36 : first + 40] == OTHER_TAG
    return Mp3Frames(
        per_frame=1152 if is_mpeg_1 else 576,
        n_held=_count_frames(data, first + length if has_tag else first),
        n_stated=_read_number(data[tag : tag + 12]) if has_tag else None,
        is_exact=is_exact,
        has_damaged_tag=is_tag and not (has_tag or is_other) and is_named,
    )


def _read_number(tag: bytes) -> int:
    """The number of frames in a tag; 0 where it has none."""
    return int.from_bytes(tag[8:12], "big") if tag[7:8] and tag[7] & 1 else 0


def _count_frames(data: bytes, place: int) -> int:
    """Whole frames; behind what is none of the same kind the next two that follow each other."""
    n_frames, kind = 0, data[place + 1 : place + 2]
    while place + 4 <= len(data):
        length = _measure_frame(data[place : place + 4])
        if length and data[place + 1 : place + 2] == kind:
            n_frames += place + length <= len(data)
            place += length
            continue
        place = _find_pair(data, place + 1, b"\xff" + kind)
    return n_frames


def _find_pair(data: bytes, place: int, head: bytes) -> int:
    """Where two frames follow each other; the data's end where they do nowhere."""
    while (place := data.find(head, place)) >= 0:
        length = _measure_frame(data[place : place + 4])
        if length and data[place + length : place + length + 2] == head:
            return place
        place += 1
    return len(data)


def _measure_frame(head: bytes) -> int:
    """Bytes of the frame of layer III that these four begin; 0: they begin none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, step, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or rate == 3 or step in (0, 15):  # step 0: of no fixed size
        return 0
    hz = RATES_HZ[rate] // {3: 1, 2: 2, 0: 4}[version]
    per_bit = 144 if version == 3 else 72
    return per_bit * 1000 * KBITS[version == 3][step] // hz + (head[2] >> 1 & 1)


def _measure_id3(head: bytes) -> int:
    """Bytes of the ID3 tag that ten begin."""
    n_bytes = 0
    for seven_bits in head[6:10] if head[:3] == b"ID3" else b"":
        n_bytes = n_bytes << 7 | seven_bits
    return n_bytes + 10 if n_bytes else 0
