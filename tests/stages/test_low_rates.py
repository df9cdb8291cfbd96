"""Recordings below the model's rate are refused in any split, of noise too, or left out."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.cli.main import main
from separation.files import read_rows
from tests.conftest import make_voice
from tests.support.inputs_page import is_documented


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Six people whose splits a table names, some of their files at 8 kHz; and noise."""
    root = tmp_path_factory.mktemp("corpus")
    lines = [["speaker", "path", "split"]]
    for number in range(6):
        for item in range(4):
            rate = 8000 if item == 3 else 16000
            name = f"s{number}-{item}.wav"
            soundfile.write(root / name, make_voice(9 * number + item, 99, 2.2, rate), rate)
            lines.append([f"s{number}", name, ("train", "dev", "test")[number // 2]])
    with open(root / "utterances.csv", "w", newline="") as handle:
        csv.writer(handle).writerows(lines)
    (root / "noise").mkdir()
    for number in range(6):
        samples = np.random.default_rng(number).normal(0, 0.05, 30000 + number)
        soundfile.write(root / "noise" / f"{number}.wav", samples, 16000 if number else 8000)
    return root


def call(corpus: Path, folder: Path, *overrides: str, last: int = 3) -> int:
    common = [
        *("--recipe=folder/ConvTasNet", f"--corpus=speech={corpus}", "--set=splits.by=subset"),
        *(f"--data={folder}", f"--exp={folder}", "--nj=1", "--set=audio.sample_rate=16000"),
        *("--set=mixtures.n_dev=2", "--set=mixtures.n_test=2"),
        *(f"--set={text}" for text in overrides),
    ]
    if any("sep_noisy" in text for text in overrides):
        common.append(f"--corpus=noise={corpus / 'noise'}")
    for stage in ("preflight", "corpus", "metadata", "audio")[: last + 1]:
        if code := main([stage, *common]):
            return code
    return 0


@pytest.mark.parametrize("dynamic", ["true", "false"])
def test_low_rates_are_refused_in_stage_1(dynamic, corpus, tmp_path, capsys):
    """Without dynamic mixing, 8 kHz files trained a 16 kHz model; dev and test were never asked."""
    assert call(corpus, tmp_path, f"training.dynamic_mixing={dynamic}") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert is_documented(said) and "6 recordings" in said
    assert not list(tmp_path.rglob("corpus.csv"))


@pytest.mark.parametrize("dynamic", ["true", "false"])
def test_a_raised_rate_is_refused_though_stage_1_is_done(dynamic, corpus, tmp_path, capsys):
    """Without dynamic mixing stage 3 had nothing to do, and never looked."""
    mixing = f"training.dynamic_mixing={dynamic}"
    assert call(corpus, tmp_path, mixing, "audio.sample_rate=8000") == 0
    assert call(corpus, tmp_path, mixing) == 2
    assert is_documented(capsys.readouterr().err.splitlines()[-1])


def test_skip_bad_leaves_them_out_of_every_split(corpus, tmp_path):
    assert call(corpus, tmp_path, "corpus.skip_bad=true") == 0
    for split in ("train", "dev", "test"):
        (table,) = tmp_path.rglob(f"metadata/{split}.csv")
        assert not [row for row in read_rows(table) if "-3.wav" in str(row)]
    packed = [
        row["path"] for path in tmp_path.rglob("packed_16000/*.csv") for row in read_rows(path)
    ]
    assert sorted(packed) == [f"s{number}-{item}.wav" for number in (0, 1) for item in range(3)]
    # at 8 kHz all of them count, so the lists are drawn anew
    assert call(corpus, tmp_path, "corpus.skip_bad=true", "audio.sample_rate=8000") == 0
    tables = [read_rows(path) for path in tmp_path.rglob("metadata/*.csv")]
    assert "-3.wav" in str(tables)


def test_noise_of_a_low_rate_is_refused_too(corpus, tmp_path, capsys):
    noisy = ("mixtures.task=sep_noisy", "corpus.noise=noise")
    table = corpus / "utterances.csv"
    text = table.read_text()
    table.write_text("".join(line for line in text.splitlines(True) if "-3.wav" not in line))
    try:
        assert call(corpus, tmp_path, *noisy) == 2
    finally:
        table.write_text(text)
    said = capsys.readouterr().err.splitlines()[-1]
    assert is_documented(said) and "0.wav: 8000 Hz" in said
