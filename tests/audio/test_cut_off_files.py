"""A file that was cut off is cut off for everybody, whatever its container."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.audio.clips import open_clip
from separation.audio.files import TRUNCATED, read_mono
from separation.audio.headers import read_header
from separation.audio.mp3 import find_lost_frames, is_mp3_of_unknown_length
from separation.corpora.plugin import Recording
from separation.corpora.table import scan_recordings
from separation.errors import UserError
from separation.mixtures.check_levels import find_wrong_levels
from separation.mixtures.table import parse_row
from tests.conftest import make_voice
from tests.corpora.test_few_recordings import CONF
from tests.support.inputs_page import is_documented

RATE = 16000
REASONS = "truncated|cannot be decoded|holds no samples"
CONTAINERS = {
    "WAV": ("wav", "PCM_16"),
    "WAVEX": ("wav", "FLOAT"),
    "RF64": ("wav", "PCM_16"),
    "W64": ("w64", "PCM_24"),
    "AIFF": ("aiff", "PCM_16"),
    "AU": ("au", "PCM_16"),
    "NIST": ("sph", "PCM_16"),
    "CAF": ("caf", "PCM_16"),
    "FLAC": ("flac", "PCM_16"),
    "OGG": ("ogg", "VORBIS"),
    "OPUS": ("opus", "OPUS"),
    "MP3": ("mp3", None),
}


def write(folder: Path, name: str) -> Path:
    suffix, kind = CONTAINERS[name]
    path = folder / f"{name}.{suffix}"
    container = "OGG" if name == "OPUS" else name
    soundfile.write(path, make_voice(3, 140, 3.0, RATE), RATE, kind, format=container)
    return path


@pytest.mark.parametrize("share", [0.6, 0.97])
@pytest.mark.parametrize("name", CONTAINERS)
def test_one_verdict_on_a_cut_file(name, share, tmp_path):
    """Ogg, Opus, MP3 and others passed stages 0 to 6 as shorter recordings."""
    path = write(tmp_path, name)
    whole = read_header(path)
    assert not whole.fault and whole.n_samples == len(read_mono(path)[0]) == 3 * RATE
    assert len(open_clip(path).read(3 * RATE, 1.0)) == 3 * RATE
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    assert read_header(path).fault
    with pytest.raises(UserError, match=REASONS):
        read_mono(path)
    with pytest.raises(UserError, match=REASONS):
        open_clip(path).read(3 * RATE, 1.0)
    recordings = [Recording(speaker="ann", path=path.name, prompt="a")]
    with pytest.raises(UserError) as caught:
        scan_recordings(recordings, tmp_path, CONF.corpus, 1, tmp_path / "scan")
    assert is_documented(str(caught.value))


@pytest.mark.parametrize("name", ["OGG", "OPUS"])
def test_ogg_cut_between_two_pages(name, tmp_path):
    """Every page is whole; only the mark of the last one is not there."""
    suffix, kind = CONTAINERS[name]
    path = tmp_path / f"long.{suffix}"
    soundfile.write(path, np.tile(make_voice(3, 140, 3.0, RATE), 8), RATE, kind, format="OGG")
    data = path.read_bytes()
    assert not read_header(path).fault and data.count(b"OggS\0") > 4
    path.write_bytes(data[: data.rfind(b"OggS\0")])
    assert read_header(path).fault == TRUNCATED
    with pytest.raises(UserError, match="is truncated"):
        read_mono(path)


@pytest.mark.parametrize("name", ["OGG", "OPUS"])
def test_ogg_that_is_damaged_in_the_middle_is_no_shorter_recording(name, tmp_path):
    """A flipped bit or a lost piece cost up to half of the samples, without a word."""
    path = write(tmp_path, name)
    data, middle = path.read_bytes(), path.stat().st_size // 2
    flipped = data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]
    for damaged in (flipped, data[:middle] + data[middle + 500 :]):
        path.write_bytes(damaged)
        assert read_header(path).fault == "is damaged in the middle"
        with pytest.raises(UserError, match="is damaged in the middle") as caught:
            read_mono(path)
        assert is_documented(str(caught.value))


@pytest.mark.parametrize("name", ["WAV", "AU", "NIST"])
def test_a_header_that_states_half_of_the_samples(name, tmp_path):
    """One flipped bit of a length, and half of the recording was gone without a word."""
    path = write(tmp_path, name)
    data, n_bytes = path.read_bytes(), 2 * 3 * RATE
    order = "little" if name == "WAV" else "big"
    old = str(n_bytes // 2).encode() if name == "NIST" else n_bytes.to_bytes(4, order)
    new = str(n_bytes // 4).encode() if name == "NIST" else (n_bytes // 2).to_bytes(4, order)
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    assert read_header(path).fault == "states fewer samples than it holds"
    with pytest.raises(UserError, match="states fewer samples than it holds") as caught:
        read_mono(path)
    assert is_documented(str(caught.value))


def test_a_wav_that_states_a_little_less_than_its_header_counts(tmp_path):
    """512 bytes less were taken for what may follow; a chunk that lacks its pad may."""
    path = write(tmp_path, "WAV")
    data, place = path.read_bytes(), path.read_bytes().index(b"data") + 4
    n_bytes = len(data) - place - 4
    less, odd = ((n_bytes - n).to_bytes(4, "little") for n in (512, 1))
    path.write_bytes(data[:place] + less + data[place + 4 :])
    assert read_header(path).fault == "states fewer samples than it holds"
    tag = b"LIST" + (200).to_bytes(4, "little") + b"INFO" + bytes(range(196))
    whole = data[:place] + odd + data[place + 4 : -1] + tag
    path.write_bytes(whole[:4] + (len(whole) - 8).to_bytes(4, "little") + whole[8:])
    assert read_header(path).fault == ""
    path.write_bytes(data + bytes(range(1, 200)))  # which the header does not count
    assert read_header(path).fault == ""


@pytest.mark.parametrize(("name", "place", "bit"), [("WAV", 22, 16), ("AIFF", 20, 1)])
def test_another_number_of_channels_than_the_rest_of_the_header_has(name, place, bit, tmp_path):
    path = write(tmp_path, name)
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)
    with pytest.raises(UserError, match="has a header that contradicts itself") as caught:
        read_mono(path, "first")
    assert is_documented(str(caught.value)) and read_header(path).fault


def test_mp3_that_a_decoder_leaves_half_way(tmp_path):
    """It counts the samples before a frame that cannot be; the header counts all frames."""
    path = write(tmp_path, "MP3")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    assert read_header(path).fault == "is truncated"
    with pytest.raises(UserError, match=REASONS):
        read_mono(path)


@pytest.mark.parametrize("n_stated", [0, 5, 40])
def test_mp3_that_holds_more_frames_than_it_states(n_stated, tmp_path):
    """Its decoder stops at the header's number."""
    path = write(tmp_path, "MP3")
    data = path.read_bytes()
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    path.write_bytes(data[: tag + 8] + n_stated.to_bytes(4, "big") + data[tag + 12 :])
    assert read_header(path).fault == "states fewer samples than it holds"


MP3_DAMAGE = {  # from the beginning of the tag: what lies there then
    "its name, by which it was taken for a file of unknown length": (3, b"\xe7"),
    "its name and what is before it, as a frame of sound": (-1, b"@Y"),
    "its name and what follows, as a file without a tag": (0, bytes(30)),
}


@pytest.mark.parametrize(("place", "put"), MP3_DAMAGE.values(), ids=MP3_DAMAGE)
def test_mp3_whose_tag_with_the_number_of_frames_is_damaged(place, put, tmp_path):
    path = write(tmp_path, "MP3")
    data = bytearray(path.read_bytes())
    start = max(data.find(b"Xing"), data.find(b"Info")) + place
    data[start : start + len(put)] = put
    path.write_bytes(data)
    with pytest.raises(UserError, match="is damaged in the middle"):
        read_mono(path)


def test_mp3_whose_first_frame_lost_its_head(tmp_path):
    """It was decoded from its second frame on."""
    path = write(tmp_path, "MP3")
    data = path.read_bytes()
    path.write_bytes(data[:1] + bytes(2) + data[3:])
    with pytest.raises(UserError, match="is damaged in the middle"):
        read_mono(path)


def test_mp3_without_a_tag_of_which_a_part_is_not_decoded(tmp_path):
    path = write(tmp_path, "MP3")
    data = path.read_bytes()
    path.write_bytes(data[data.index(data[:2], 4) :])
    assert not find_lost_frames(path, len(read_mono(path)[0]))
    assert find_lost_frames(path, 2 * RATE) == "is damaged in the middle"


@pytest.mark.parametrize("n_stated", [100, 3 * RATE - 1])
def test_flac_that_holds_more_samples_than_it_states(n_stated, tmp_path):
    """Its last frame has a number and a length of its own."""
    path = write(tmp_path, "FLAC")
    data = path.read_bytes()
    assert int.from_bytes(data[22:26], "big") == 3 * RATE and not read_header(path).fault
    path.write_bytes(data[:22] + n_stated.to_bytes(4, "big") + data[26:])
    assert read_header(path).fault == "states fewer samples than it holds"
    with pytest.raises(UserError, match="than it holds"):
        read_mono(path)


def test_au_that_states_a_little_less_than_it_holds(tmp_path):
    """A hundredth of the samples and 1,024 bytes were let pass."""
    path = write(tmp_path, "AU")
    data = bytearray(path.read_bytes())
    data[8:12] = (2 * (3 * RATE - 200)).to_bytes(4, "big")
    path.write_bytes(data)
    assert read_header(path).fault == "states fewer samples than it holds"


@pytest.mark.parametrize(("n_channels", "said"), [(513, "states 513 channels"), (7, "itself")])
def test_au_with_damaged_channels(n_channels, said, tmp_path):
    """The samples that made no whole frame were left out."""
    path = write(tmp_path, "AU")
    data = bytearray(path.read_bytes())
    data[20:24] = n_channels.to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(UserError, match=said):
        read_mono(path)


BEHIND = {
    "zeros": bytes(9000),
    "tag": b"ID3\3" + bytes(5000) + b"x" * 9000,
    "chunk": b"LIST" + (9000).to_bytes(4, "little") + b"x" * 9000,
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_what_may_lie_behind_the_samples_of_wav(behind, tmp_path):
    path = write(tmp_path, "WAV")
    with open(path, "ab") as handle:
        handle.write(behind)
    assert not read_header(path).fault and len(read_mono(path)[0]) == 3 * RATE


@pytest.mark.parametrize("rate", [127, 2_000_000_000])
def test_a_sample_rate_that_no_speech_has_is_a_damaged_header(rate, tmp_path):
    path = write(tmp_path, "WAV")
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"states a sample rate of {rate} Hz") as caught:
        read_mono(path)
    assert is_documented(str(caught.value)) and read_header(path).fault


def test_an_mp3_file_that_states_no_length_is_decoded_to_its_end(tmp_path):
    """Its header gives a guess, by which a whole file would be a cut one."""
    path = write(tmp_path, "MP3")
    data = path.read_bytes()
    assert not is_mp3_of_unknown_length(path)
    bare = tmp_path / "bare.mp3"
    bare.write_bytes(data[data.index(data[:2], 4) :])  # without the first frame
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(b"ID3\4\0\0\0\0\x40\0" + bytes(1 << 13) + data)
    assert is_mp3_of_unknown_length(bare) and not is_mp3_of_unknown_length(tagged)
    n_samples = len(read_mono(bare)[0])
    assert abs(n_samples - 3 * RATE) < 3000 and read_header(bare).n_samples == n_samples
    assert open_clip(bare).n_samples == n_samples and not read_header(bare).fault


def test_recordings_that_are_not_those_of_the_lists_are_named(tmp_path):
    """WSJ0's second microphone, or Shorten decoded to noise, went through."""
    voice = make_voice(1, 120, 2.0, RATE)
    noise = np.random.default_rng(0).uniform(-0.99, 0.99, 2 * RATE)
    level = float(np.mean(voice**2))
    rows = []
    for number, samples in enumerate([voice, noise, 0.1 * voice]):
        soundfile.write(tmp_path / f"{number}.wav", samples, RATE, "PCM_16")
        names = {"mixture_ID": str(number)}
        for k in (1, 2):
            names |= {f"source_{k}_path": f"{number}.wav", f"source_{k}_snr_db": "0"}
            names |= {f"source_{k}_level": repr(1.5 * level)}
        rows.append(parse_row(names))
    wrong = find_wrong_levels(rows, tmp_path, 1)
    assert {text.split(":")[0] for text in wrong} == {"1.wav", "2.wav"}
    assert all(map(is_documented, wrong))
    existing = parse_row(
        {"mixture_ID": "a", "mixture_path": "m", "source_1_path": "x"} | {"source_2_path": "y"}
    )
    assert find_wrong_levels([existing], tmp_path, 1) == []
