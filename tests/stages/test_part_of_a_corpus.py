"""Published lists over a part of a corpus, or one that was converted."""

from pathlib import Path

import pytest
import soundfile

from local import librispeech
from separation.cli.main import main
from separation.files import read_rows
from tests.recipes.test_recipes import corpora, roots  # noqa: F401 a fixture
from tests.support.inputs_page import is_documented
from tests.support.wsj0_tree import LISTS, write_wsj0


@pytest.fixture
def speech(corpora, tmp_path) -> Path:  # noqa: F811
    """A LibriSpeech of one's own, linked file by file."""
    source, root = corpora / "LibriSpeech", tmp_path / "LibriSpeech"
    for path in source.rglob("*.*"):
        copy = root / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.symlink_to(path)
    return root


def call(speech: Path, corpora: Path, folder: Path, *words: str, last: int = 2) -> int:  # noqa: F811
    given = ["--recipe=librimix/ConvTasNet_small", f"--corpus=librispeech={speech}", "--nj=1"]
    given += [*roots(corpora, "librimix"), f"--data={folder / 'data'}", f"--exp={folder / 'exp'}"]
    for stage in ("preflight", "corpus", "metadata", "audio")[: last + 1]:
        if code := main([stage, *given, *words]):
            return code
    return 0


def list_table(folder: Path, split: str) -> list[dict[str, str]]:
    (table,) = folder.rglob(f"metadata/{split}.csv")
    return read_rows(table)


def test_a_part_names_the_ways_on(speech, corpora, tmp_path, capsys):  # noqa: F811
    """Of a part one sentence said to fetch the rest."""
    whole = list(read_rows(corpora / "LibriMix/metadata/Libri2Mix/libri2mix_dev-clean.csv"))
    absent = whole[0]["source_1_path"]
    (speech / absent).unlink()
    assert call(speech, corpora, tmp_path) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert is_documented(said) and "metadata.draw=true" in said and "skip_bad=true" in said
    assert call(speech, corpora, tmp_path, "--set=corpus.skip_bad=true") == 0
    said = capsys.readouterr().out
    assert is_documented(next(line for line in said.splitlines() if "note: dev" in line))
    kept = list_table(tmp_path, "dev")
    assert 0 < len(kept) < len(whole) and absent not in str(kept)


def test_a_part_of_wsj0(tmp_path, capsys):
    """It was refused by its own reader, with skip_bad too."""
    write_wsj0(tmp_path, 2)
    given = ["--recipe=wsj0mix/ConvTasNet", f"--corpus=wsj0={tmp_path}", "--nj=1"]
    given += [f"--corpus=wsj0mix={LISTS}", f"--data={tmp_path / 'data'}", f"--exp={tmp_path}"]
    listed = (LISTS / "mix_2_spk_cv.txt").read_text().splitlines()
    (tmp_path / listed[0].split()[2]).unlink()
    assert main(["preflight", *given]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "is it whole" in said and "corpus.skip_bad=true" in said and "draw" not in said
    assert is_documented(said)
    skip = "--set=corpus.skip_bad=true"
    assert [main([stage, *given, skip]) for stage in ("preflight", "corpus", "metadata")] == [0] * 3
    said = capsys.readouterr().out.splitlines()
    assert is_documented(next(line for line in said if "note: dev" in line))
    absent = Path(listed[0].split()[2]).stem
    kept = list_table(tmp_path / "data", "dev")
    assert 0 < len(kept) < len(listed) and absent not in str(kept)
    for path in (tmp_path / "wsj0").rglob("si_?t_*/**/*.wav"):
        path.unlink()
    assert main(["preflight", *given, skip]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert is_documented(said) and "draw" not in said


def test_a_cut_file_takes_its_mixtures_along(speech, corpora, tmp_path, capsys):  # noqa: F811
    whole = read_rows(corpora / "LibriMix/metadata/Libri2Mix/libri2mix_test-clean.csv")
    path = speech / whole[0]["source_2_path"]
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])
    assert call(speech, corpora, tmp_path) == 2
    assert is_documented(capsys.readouterr().err.splitlines()[-1])
    assert call(speech, corpora, tmp_path, "--set=corpus.skip_bad=true") == 0
    assert whole[0]["source_2_path"] not in str(list_table(tmp_path, "test"))


def test_a_list_of_which_nothing_is_there(speech, corpora, tmp_path, capsys):  # noqa: F811
    for path in (speech / "dev-clean").rglob("*.flac"):
        path.unlink()
    assert call(speech, corpora, tmp_path, "--set=corpus.skip_bad=true") == 2
    assert is_documented(capsys.readouterr().err.splitlines()[-1])


def test_wav_is_taken_in_place_of_flac(speech, corpora, tmp_path, capsys):  # noqa: F811
    """The lists stay as published, and so do the samples."""
    assert call(speech, corpora, tmp_path / "flac") == 0
    for path in speech.rglob("*.flac"):
        samples, rate = soundfile.read(path, dtype="int16")
        path.unlink()
        soundfile.write(path.with_suffix(".wav"), samples, rate, "PCM_16")
    capsys.readouterr()
    assert call(speech, corpora, tmp_path / "wav", last=3) == 0
    said = capsys.readouterr().out.splitlines()
    assert is_documented(next(line for line in said if "as WAV" in line))
    for split in ("train", "dev", "test"):
        assert list_table(tmp_path / "wav", split) == list_table(tmp_path / "flac", split)
    listed = librispeech.list_recordings(speech)
    assert listed and {Path(row.path).suffix for row in listed} == {".wav"}
