"""One speaker in noise, and four and five speakers: tables, trees, training, scores."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation import __main__
from separation.config.load import load_conf
from separation.corpora.table import Utterance
from separation.datasets.open import open_datasets
from separation.datasets.options import MixtureOptions
from separation.errors import UserError
from separation.evaluation.score_rows import read_scores
from separation.experiment.mixtures import open_split, open_training
from separation.experiment.open import open_experiment
from separation.mixtures.draw.speaker_groups import draw_groups
from separation.models.registry import build_model
from separation.stages.data import run_metadata
from separation.training.loss import make_pit_loss
from tests.conftest import ROOT
from tests.support.mixture_folders import save_small_model, write_folder

SMALL = ["audio.sample_rate=8000", "model.n_blocks=1", "model.n_repeats=1", "model.hid_chan=8"]


def write_single(folder: Path, n_mixtures: int) -> Path:
    """``mix_single/ s1/ noise/`` as LibriMix's generator makes them."""
    write_folder(folder, n_mixtures, n_src=1, duration_s=0.3)
    for path in sorted((folder / "s1").glob("*.wav")):
        samples, rate = soundfile.read(path, dtype="int16")
        noise = np.random.default_rng(len(samples)).integers(-900, 900, len(samples), np.int16)
        for part, own in (("mix_single", samples + noise), ("noise", noise)):
            (folder / part).mkdir(exist_ok=True)
            soundfile.write(folder / part / path.name, own, rate)
    shutil.rmtree(folder / "mix")
    return folder


def write_splits(folder: Path, n_src: int) -> list[str]:
    """Train, dev and test; the options that name them."""
    for split in ("train", "dev", "test"):
        if n_src == 1:
            write_single(folder / split, 2)
        else:
            write_folder(folder / split, 2, n_src=n_src, duration_s=0.3)
    return [f"{split}={folder / split}" for split in ("train", "dev", "test")]


@pytest.mark.parametrize("n_src", [1, 4, 5])
def test_mixtures_that_exist_train_any_number_of_speakers(n_src, tmp_path):
    sets = [*SMALL, f"mixtures.n_src={n_src}", "training.segment_s=0.2"]
    sets += ["mixtures.task=sep_noisy"] if n_src == 1 else []
    experiment = open_experiment(
        "folder/ConvTasNet",
        sets,
        corpora=write_splits(tmp_path, n_src),
        data=tmp_path / "data",
        exp=tmp_path / "exp",
        n_jobs=1,
    )
    run_metadata(experiment)
    assert open_split(experiment, "dev")[0].sources.shape[0] == n_src
    mixture, sources = open_training(experiment)[0]
    model = build_model(experiment.conf.model, n_src, 8000)
    loss = make_pit_loss("si_sdr")(model(mixture[None]), sources[None])
    loss.backward()
    assert sources.shape == (n_src, 1600) and bool(loss.isfinite())


@pytest.mark.parametrize("n_src", [1, 4, 5])
def test_they_are_compared_and_separated(n_src, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "calls" / "test"
    if n_src == 1:
        write_single(folder, 2)
    else:
        write_folder(folder, 2, n_src=n_src, duration_s=0.3)
    model = save_small_model(tmp_path / "model.pth", n_src)
    words = ["compare", "--models", model, "--test-sets", tmp_path / "calls", "--worst", "0"]
    words += ["--out", tmp_path / "out", "--metrics", "si_sdr", "--nj", "1", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["separation", *map(str, words)])
    assert __main__.main() == 0, capsys.readouterr().err
    for table in (tmp_path / "out").glob("*/*.csv"):
        rows = read_scores(table)
        assert [sorted(row.permutation) for row in rows] == [list(range(n_src))] * 2
        assert {row.pair for row in rows} == {"unknown"}
    mixture = next(path for path in folder.glob("mix*/m0.wav"))
    words = ["separate", mixture, "--model", model, "--out", tmp_path / "voices"]
    monkeypatch.setattr(sys, "argv", ["separation", *map(str, words), "--device", "cpu"])
    assert __main__.main() == 0, capsys.readouterr().err
    assert len(list((tmp_path / "voices").glob("*.wav"))) == n_src


def test_the_first_speaker_of_a_librimix_tree_is_a_set_of_one(tmp_path):
    folder = write_folder(tmp_path / "test", 2, duration_s=0.3)
    (folder / "mix").rename(folder / "mix_both")
    shutil.copytree(folder / "s1", folder / "mix_single")
    (both,) = open_datasets(str(folder), MixtureOptions(n_jobs=1))
    assert (both.rows[0].n_src, both.rows[0].mixture_type) == (2, "mix_both")
    (single,) = open_datasets(str(folder), MixtureOptions(n_jobs=1, kind="mix_single"))
    assert (single.rows[0].n_src, single.rows[0].mixture_type) == (1, "mix_single")


def test_a_round_of_one_speaker_each_holds_every_utterance(mixtures_conf):
    utterances = [
        Utterance(
            utterance=f"u{k}",
            speaker=f"s{k % 3}",
            sex="F",
            path=f"{k}.wav",
            n_samples=24000,
            sample_rate=8000,
            loudness_lufs=-20.0,
            peak=0.5,
            channel="mono",
            prompt=str(k),
            transcript="",
            subset="",
            split="train",
        )
        for k in range(7)
    ]
    groups = draw_groups(utterances, "train", 0, mixtures_conf)
    assert sorted(group[0].utterance for group in groups) == [f"u{k}" for k in range(7)]
    assert len(draw_groups(utterances, "train", 4, mixtures_conf)) == 4


@pytest.fixture
def mixtures_conf():
    overrides = ["mixtures.n_src=1", "mixtures.task=sep_noisy"]
    return load_conf(ROOT, "folder/ConvTasNet", overrides).mixtures


def test_one_speaker_without_noise_is_refused(speech_folder):
    with pytest.raises(UserError, match="leaves nothing to separate"):
        open_experiment(
            "folder/ConvTasNet", ["mixtures.n_src=1"], corpora=[f"speech={speech_folder}"]
        )
