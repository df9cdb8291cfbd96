"""Suffixes in any case, files converted one by one, and macOS's hidden copies."""

from pathlib import Path

import pytest

from local import aishell3, librispeech, wham
from separation.corpora.plugin import fingerprint_recordings
from separation.files import locate_recording
from separation.mixtures.published_lists import keep_complete
from separation.mixtures.table import parse_row


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not decoded here")


def test_aishell3_from_another_system(tmp_path):
    """Files that were named .WAV were not there, and ``._x.wav`` ended stage 0."""
    table = "SSB0005\tB\tfemale\tnorth\n"
    (tmp_path / "spk-info.txt").write_text(table, encoding="utf-8")
    folder = "train/wav/SSB0005"
    put(tmp_path, *(f"{folder}/{name}" for name in ("SSB00050001.WAV", "SSB00050002.flac")))
    put(tmp_path, f"{folder}/._SSB00050001.WAV", "test/wav/SSB0005/SSB00050003.wav")
    names = {"train": ["SSB00050001", "SSB00050002"], "test": ["SSB00050003"]}
    for subset, listed in names.items():
        lines = [f"{name}.wav\t广 guang3" for name in listed]
        (tmp_path / subset / "content.txt").write_text("\n".join(lines), encoding="utf-8")
    found = aishell3.list_recordings(tmp_path)
    assert [Path(row.path).name for row in found] == [
        f"{name}.wav" for name in (*names["train"], *names["test"])
    ]
    assert {row.transcript for row in found} == {"广"}
    assert aishell3.check_corpus(tmp_path, found).faults == []
    assert fingerprint_recordings(found, tmp_path)


@pytest.mark.parametrize("suffix", [".wav", ".WAV", ".flac"])
def test_noise_of_wham_under_the_names_of_the_lists(suffix, tmp_path):
    put(tmp_path, *(f"{split}/a{suffix}" for split in wham.SPLITS), "tt/._a.wav", "tt/notes.txt")
    found = wham.list_recordings(tmp_path)
    assert [row.path for row in found] == ["tr/a.wav", "cv/a.wav", "tt/a.wav"]
    assert all(locate_recording(tmp_path / row.path).is_file() for row in found)
    columns = {"mixture_ID": "m", "source_1_path": "a.wav", "source_1_gain": "1"}
    columns |= {"noise_path": "tt/a.wav", "noise_gain": "1"}
    row = parse_row(columns)
    put(tmp_path, "a.wav")
    assert keep_complete([row], tmp_path, tmp_path) == [row]


def test_a_folder_of_librispeech_that_was_converted_in_part(tmp_path):
    """Where one file was FLAC, all WAV files beside it were left out without a word."""
    (tmp_path / "SPEAKERS.TXT").write_text("84 | F | dev-clean | 8.0 | Nobody\n")
    names = ("84-1-0000.flac", "84-1-0000.wav", "84-1-0001.wav", "84-1-0002.FLAC")
    put(tmp_path, *(f"dev-clean/84/1/{name}" for name in names))
    found = librispeech.list_recordings(tmp_path)
    assert [Path(row.path).name for row in found] == [names[0], names[2], names[3]]
