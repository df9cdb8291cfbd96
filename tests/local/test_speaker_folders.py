"""Which folders of a tree are speakers: known layouts, links, and what nobody can tell."""

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local import librispeech
from local.noise import list_recordings as list_noise
from local.speech import check_corpus, list_recordings
from separation.audio import files
from separation.audio.clips import open_clip
from separation.audio.headers import read_header
from separation.config.load import load_conf
from separation.corpora import plugin
from separation.corpora.plugin import Reading
from separation.corpora.splits import assign_splits
from separation.errors import UserError
from tests.conftest import ROOT, make_voice
from tests.corpora.test_splits_and_draw import make_table
from tests.support.inputs_page import is_documented


def put(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path, **reading) -> dict[str, str]:
    """Speaker of every path."""
    return {row.path: row.speaker for row in list_recordings(root, Reading(**reading))}


def list_remarks(root: Path, **reading) -> list[str]:
    """What stage 0 notes, all of it on docs/inputs.md."""
    asked = Reading(**reading)
    remarks = check_corpus(root, list_recordings(root, asked), asked).remarks
    assert all(map(is_documented, remarks)), remarks
    return remarks


def refusal(root: Path, **reading) -> str:
    asked = Reading(**reading)
    with pytest.raises(UserError) as caught:
        check_corpus(root, list_recordings(root, asked), asked)
    assert is_documented(str(caught.value)), str(caught.value)
    return str(caught.value)


LAYOUTS = {
    "TIMIT": (["TRAIN/DR1/FCJF0/SA1.WAV", "TRAIN/DR2/MABC1/SX9.WAV"], ["FCJF0", "MABC1"]),
    "AISHELL-1": (
        ["wav/train/S0002/BAC009S0002W0122.wav", "wav/dev/S0724/BAC009S0724W0121.wav"],
        ["S0724", "S0002"],
    ),
    "LibriSpeech": (
        ["dev-clean/84/12/84-12-0001.flac", "test-clean/61/7/61-7-0000.flac"],
        ["84", "61"],
    ),
    "VCTK": (["wav48/p225/p225_001_mic1.flac", "wav48/p226/p226_001_mic1.flac"], ["p225", "p226"]),
    "VoxCeleb": (
        ["dev/id10001/1zcIwhmdeo4/00001.wav", "dev/id10002/abcdefghijk/00001.wav"],
        ["id10001", "id10002"],
    ),
    "WSJ0": (["si_tr_s/011/011c0201.wav", "si_dt_05/050/050a0501.wav"], ["050", "011"]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_known_corpus_is_read_by_its_own_layout_and_named(name, tmp_path):
    """Folders such as DR1 and train were taken for speakers, so that a voice was many people."""
    paths, speakers = LAYOUTS[name]
    put(tmp_path, *paths)
    assert list(read(tmp_path).values()) == speakers
    assert f"{name}'s layout" in list_remarks(tmp_path)[0]
    assert set(read(tmp_path, speaker_level=1).values()) == {path.split("/")[0] for path in paths}


def test_sex_and_subset_of_timit(tmp_path):
    put(tmp_path, *LAYOUTS["TIMIT"][0], "TEST/DR1/MDAB0/SA1.WAV")
    rows = {row.speaker: (row.sex, row.subset) for row in list_recordings(tmp_path)}
    assert rows == {"FCJF0": ("F", "TRAIN"), "MABC1": ("M", "TRAIN"), "MDAB0": ("M", "TEST")}


def test_one_subset_of_librispeech_is_read_as_it_was(tmp_path):
    put(tmp_path, "84/12/84-12-0001.flac", "84/13/84-13-0001.flac", "61/7/61-7-0000.flac")
    assert set(read(tmp_path).values()) == {"84", "61"} and not list_remarks(tmp_path)


def test_folders_named_as_splits_are_no_speakers(tmp_path):
    put(tmp_path, "train/ann/1.wav", "train/bob/1.wav", "test/cai/1.wav")
    assert set(read(tmp_path).values()) == {"ann", "bob", "cai"}
    assert {row.subset for row in list_recordings(tmp_path)} == {"train", "test"}
    assert len(list_remarks(tmp_path)) == 1


def test_a_folder_around_the_speakers(tmp_path):
    put(tmp_path, "wav/ann/1.wav", "wav/bob/1.wav")
    assert set(read(tmp_path).values()) == {"ann", "bob"}
    assert len(list_remarks(tmp_path)) == 1


@pytest.mark.parametrize(
    "paths",
    [
        ["ann/day1/1.wav", "ann/day2/1.wav", "bob/day1/1.wav", "bob/day2/2.wav"],  # sessions
        ["ann/a.wav", "ann/more/b.wav", "ann/other/b.wav", "bob/x.wav"],
        ["ann_F/x/1.wav", "ann_F/y/1.wav", "bob_M/z/2.wav"],
        ["ann/x/ann1.wav", "ann/y/ann2.wav", "bob/z/bob1.wav"],
    ],
)
def test_folders_within_a_speaker_are_no_question(paths, tmp_path):
    put(tmp_path, *paths)
    assert read(tmp_path) == {path: path.split("/")[0] for path in paths}
    assert not list_remarks(tmp_path)


def test_folders_of_folders_are_asked_about(tmp_path):
    put(tmp_path, "north/ann/1.wav", "north/bob/1.wav", "south/cai/1.wav", "south/dan/1.wav")
    asked = refusal(tmp_path)
    assert "north/ann/1.wav" in asked and "north, south (--set corpus.speaker_level=1)" in asked
    assert "ann, bob and 2 more (--set corpus.speaker_level=2)" in asked
    assert set(read(tmp_path, speaker_level=2).values()) == {"ann", "bob", "cai", "dan"}
    assert not list_remarks(tmp_path, speaker_level=2)
    assert set(read(tmp_path, speaker_level=1).values()) == {"north", "south"}


def test_pattern_for_other_names(tmp_path):
    put(tmp_path, "x/ann-1.wav", "x/bob-1.wav", "cai-1.wav")
    found = read(tmp_path, speaker_pattern=r"([^/]+)-\d+\.wav")
    assert found == {"x/ann-1.wav": "ann", "x/bob-1.wav": "bob", "cai-1.wav": "cai"}
    assert "do not fit (cai-1.wav)" in refusal(tmp_path, speaker_pattern=r"x/(\w+)-")
    assert "no regular expression" in refusal(tmp_path, speaker_pattern="(")
    assert "no group" in refusal(tmp_path, speaker_pattern="a")
    assert "lies in 3 folders" in refusal(tmp_path, speaker_level=3)
    put(tmp_path / "told", "m_ann/1.wav")
    pattern = r"(?P<sex>\w)_(?P<speaker>\w+)"
    assert list_recordings(tmp_path / "told", Reading(speaker_pattern=pattern))[0].sex == "M"
    put(tmp_path / "told", "x_bob/1.wav")
    assert "has the sex 'x'" in refusal(tmp_path / "told", speaker_pattern=pattern)


def test_files_outside_are_counted(tmp_path):
    put(tmp_path, "ann/1.wav", "bob/1.wav", "top.wav")
    assert "1 files lie in no speaker's folder" in list_remarks(tmp_path)[0]


@pytest.mark.parametrize("prefix", ["", "tr/", "Libri2Mix/wav8k/min/dev/"])
def test_a_tree_of_mixtures_is_no_speech(prefix, tmp_path):
    put(tmp_path, *(f"{prefix}{part}/a.wav" for part in ("mix_clean", "s1", "s2")))
    assert "--corpus mixtures=DIR" in refusal(tmp_path)


def test_kaldi_mixtures_are_no_speech(tmp_path):
    put(tmp_path, "a.wav")
    (tmp_path / "wav.scp").write_text(f"u1 {tmp_path}/a.wav\n")
    (tmp_path / "utt2spk").write_text("u1 s1_s2\n")
    (tmp_path / "spk1.scp").write_text(f"u1 {tmp_path}/a.wav\n")
    assert "spk1.scp" in refusal(tmp_path)


def test_keys_of_ones_own_folders_are_refused_elsewhere(tmp_path):
    with pytest.raises(UserError) as caught:
        plugin.list_recordings("librispeech", tmp_path, Reading(speaker_level=2))
    assert is_documented(str(caught.value))


def test_linked_folders_are_followed_and_loops_are_not(tmp_path):
    """A linked subset was an empty one."""
    put(tmp_path / "far", "deep/2.wav")
    root = put(tmp_path / "root", "ann/1.wav", "bob/1.wav")
    (root / "ann" / "more").symlink_to(tmp_path / "far")
    (root / "cai").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(root)
    (root / "bob" / "self").symlink_to("self")
    (root / "bob" / "gone.wav").symlink_to("nowhere.wav")
    found = read(root)
    assert {path for path in found if "back" not in path} == {
        *("ann/1.wav", "ann/more/deep/2.wav", "bob/1.wav", "cai/deep/2.wav")
    }
    assert len(found) < 12
    assert "1 links that lead nowhere are left out (bob/gone.wav)" in list_remarks(root)[-1]
    assert len(list_noise(put(root, "dan/2.wav"))) == len(found) + 1


def test_a_linked_subset_of_librispeech(tmp_path):
    put(tmp_path / "far", "84/12/84-12-0001.flac")
    root = tmp_path / "LibriSpeech"
    root.mkdir()
    (root / "SPEAKERS.TXT").write_text("84 | F | dev-clean | 8 | Christie Nowak\n")
    (root / "dev-clean").mkdir()
    (root / "dev-clean" / "84").symlink_to(tmp_path / "far" / "84")
    assert [row.speaker for row in librispeech.list_recordings(root)] == ["84"]


def test_hidden_files_of_macos_are_nothing(tmp_path):
    put(tmp_path, "ann/1.wav", "ann/._1.wav", "ann/.AppleDouble/1.wav", "bob/1.WAV")
    assert set(read(tmp_path)) == {"ann/1.wav", "bob/1.WAV"}


def test_a_name_in_another_coding_is_named_with_its_cause(tmp_path):
    put(tmp_path, "ann/1.wav")
    path = os.fsencode(tmp_path) + b"/ann/" + "你好.wav".encode("gbk")
    open(path, "w").close()
    assert "as GBK it reads" in refusal(tmp_path) and "你好.wav" in refusal(tmp_path)


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    files.find_ffmpeg.cache_clear()
    yield
    files.find_ffmpeg.cache_clear()


@pytest.fixture
def ffmpeg(monkeypatch, tmp_path):
    """A stand-in that decodes files which are WAV inside, and fails for others."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys, soundfile\n"
        "words = sys.argv\nsource = words[words.index('-i') + 1]\n"
        "try:\n    samples, rate = soundfile.read(source)\n"
        "except Exception:\n    sys.exit(f'{source}: Invalid data found')\n"
        "soundfile.write(words[-1], samples, rate, 'PCM_16')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    files.find_ffmpeg.cache_clear()
    yield
    files.find_ffmpeg.cache_clear()


def test_files_that_nobody_decodes_are_counted_and_named(no_ffmpeg, tmp_path):
    """They were left out without a word."""
    put(tmp_path, "ann/1.wav", "bob/2.m4a", "bob/3.M4A", "cai/1.wma")
    assert set(read(tmp_path)) == {"ann/1.wav"}
    remarks = list_remarks(tmp_path)
    assert remarks[0].startswith("2 .m4a files are left out (bob/2.m4a, bob/3.M4A)")
    assert remarks[1].startswith("1 .wma files are left out")
    (tmp_path / "ann/1.wav").unlink()
    assert "2 .m4a files are left out" in refusal(tmp_path)
    with pytest.raises(UserError, match="needs ffmpeg"):
        files.read_audio(tmp_path / "bob/2.m4a")


def test_ffmpeg_decodes_where_it_is_there(ffmpeg, tmp_path):
    root = tmp_path / "speech"
    (root / "ann").mkdir(parents=True)
    voice = make_voice(1, 120, 1.0, 8000)
    soundfile.write(root / "ann" / "1.m4a", voice, 8000, format="WAV")
    put(root, "ann/2.mp4")
    assert set(read(root)) == {"ann/1.m4a", "ann/2.mp4"} and not list_remarks(root)
    samples, rate = files.read_mono(root / "ann/1.m4a")
    assert rate == 8000 and np.abs(samples - voice).max() < 2**-14
    assert (
        open_clip(root / "ann/1.m4a").n_samples == read_header(root / "ann/1.m4a").n_samples == 8000
    )
    assert "Invalid data found" in read_header(root / "ann/2.mp4").fault


def test_copies_of_a_sentence_are_one_prompt_and_in_one_split(tmp_path):
    """p225_001_mic1 was trained on and p225_001_mic2 tested."""
    kinds = ("_mic1.flac", "_mic2.flac", ".wav", ".mp3", " (1).wav", " - Copy.wav", ".WAV.wav")
    put(tmp_path, *(f"ann/A{number}{kind}" for number in range(30) for kind in kinds))
    rows = list_recordings(tmp_path)
    prompts = {row.prompt for row in rows}
    assert len(prompts) == 30 and len(rows) == 210
    table = [row for row in make_table(5, 3) if row.speaker != "s0"]
    copies = [
        type(table[0])(
            **vars(table[0])
            | {"utterance": row.path, "path": row.path}
            | {"prompt": row.prompt, "speaker": "s0"}
        )
        for row in rows
    ]
    splits = load_conf(ROOT, "mini/ConvTasNet", ["splits.unseen_speakers=[]"]).splits
    assigned = [row for row in assign_splits([*table, *copies], splits) if row.speaker == "s0"]
    assert len({(row.prompt, row.split) for row in assigned}) == 30
