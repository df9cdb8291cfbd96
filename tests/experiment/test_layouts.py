"""Mixtures in every layout as training input: ``--corpus mixtures=DIR``, or a split each."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.experiment.mixtures import open_split, open_training
from separation.experiment.open import open_experiment
from separation.files import format_rows
from separation.mixtures.layout import list_files
from separation.stages.data import run_metadata
from tests.support.layouts import LAYOUTS
from tests.support.librimix_tree import read_reference_rows
from tests.support.mixture_folders import write_folder

SPLITS = {"train": 2, "dev": 1, "test": 3}


@pytest.fixture
def plain(tmp_path) -> Path:
    for split, n_mixtures in SPLITS.items():
        write_folder(tmp_path / "plain" / split, n_mixtures, duration_s=0.3)
    return tmp_path / "plain"


def open_in(tmp_path: Path, corpora: list[str], *sets: str) -> Experiment:
    usual = ["audio.sample_rate=8000", "training.segment_s=0.2"]
    return open_experiment(
        "folder/ConvTasNet",
        [*usual, *sets],
        corpora=corpora,
        data=tmp_path / "data",
        exp=tmp_path / "exp",
        n_jobs=1,
        device="cpu",
    )


def name_splits(folder: Path) -> list[str]:
    return [f"{split}={folder / split}" for split in SPLITS]


def check_samples(experiment: Experiment, plain: Path) -> None:
    """Stage 2 takes them, and what is read are the mixtures of the plain folders."""
    run_metadata(experiment)
    for split, n_mixtures in SPLITS.items():
        opened = open_split(experiment, split)
        assert [row.mixture_id for row in opened.rows] == [f"m{k}" for k in range(n_mixtures)]
        for mixture in opened:
            for part, samples in (("mix", mixture.mixture), ("s2", mixture.sources[1])):
                path = plain / split / part / f"{mixture.mixture_id}.wav"
                assert np.array_equal(soundfile.read(path, dtype="float32")[0], samples)
    assert open_training(experiment).n_samples == round(0.2 * 8000)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_training_input(layout, plain, tmp_path):
    arranged = {split: LAYOUTS[layout](plain / split, tmp_path / "new" / split) for split in SPLITS}
    corpora = [f"{split}={path}" for split, path in arranged.items()]
    check_samples(open_in(tmp_path, corpora), plain)
    if layout.startswith(("CSV", "JSON records")):
        for split, path in arranged.items():  # tables that are called after their splits
            path.rename(tmp_path / "new" / f"{split}{path.suffix}")
            path.parent.rmdir()
    check_samples(open_in(tmp_path, [f"mixtures={tmp_path / 'new'}"]), plain)


def test_lists_of_all_splits_in_one_folder(plain, tmp_path):
    """As JusperLee's Conv-TasNet has them: tr_mix.scp, cv_mix.scp, tt_mix.scp."""
    (tmp_path / "lists").mkdir()
    for split, name in (("train", "tr"), ("dev", "cv"), ("test", "tt")):
        folder = LAYOUTS["scp of JusperLee"](plain / split, tmp_path / split)
        for path in folder.iterdir():
            shutil.move(path, tmp_path / "lists" / path.name.replace("tt_", f"{name}_"))
    check_samples(open_in(tmp_path, [f"mixtures={tmp_path / 'lists'}"]), plain)


def test_a_table_of_relative_paths_lies_where_it_likes(plain, tmp_path):
    """LibriMix's metadata with paths below the tree's root."""
    (plain / "metadata").mkdir()
    for split in SPLITS:
        rows = [
            {key: text.replace(f"{plain}/", "") for key, text in row.columns.items()}
            for row in list_files(plain / split)
        ]
        (plain / "metadata" / f"{split}.csv").write_text(format_rows(rows))
    check_samples(open_in(tmp_path, [f"mixtures={plain / 'metadata'}"]), plain)


def test_rows_that_cannot_be_used_are_left_out_with_skip_bad(plain, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    spk = LAYOUTS["folders spk1 spk2"]
    corpora = [f"{split}={spk(plain / split, tmp_path / 'new' / split)}" for split in SPLITS]
    (tmp_path / "new" / "test" / "spk2" / "m1.wav").unlink()
    samples, rate = soundfile.read(tmp_path / "new" / "train" / "spk1" / "m0.wav")
    soundfile.write(tmp_path / "new" / "train" / "spk1" / "m0.wav", samples[:-200], rate)
    with pytest.raises(UserError, match=r"(?s)m1: has no s2.*1 of 3 .*corpus.skip_bad=true"):
        run_metadata(open_in(tmp_path, corpora))
    experiment = open_in(tmp_path, corpora, "corpus.skip_bad=true")
    run_metadata(experiment)
    assert [row.mixture_id for row in open_split(experiment, "test").rows] == ["m0", "m2"]
    assert [row.mixture_id for row in open_split(experiment, "train").rows] == ["m1"]
    assert "test: 1 of 3 mixtures are left out (corpus.skip_bad): m1: has no s2" in caplog.text
    assert "mixture and sources differ in length" in caplog.text


def test_our_own_layout_is_no_exception(plain, tmp_path, caplog):
    """A file that was not there was refused with skip_bad too."""
    caplog.set_level(logging.WARNING)
    (plain / "test" / "s2" / "m1.wav").unlink()
    shutil.copy(plain / "test" / "s1" / "m0.wav", plain / "test" / "s1" / "m9.wav")
    with pytest.raises(UserError, match=r"(?s)s2/m1.wav: is not there.*2 of 4 .*skip_bad=true"):
        run_metadata(open_in(tmp_path, name_splits(plain)))
    experiment = open_in(tmp_path, name_splits(plain), "corpus.skip_bad=true")
    run_metadata(experiment)
    assert [row.mixture_id for row in open_split(experiment, "test").rows] == ["m0", "m2"]
    assert "test: 2 of 4 mixtures are left out (corpus.skip_bad)" in caplog.text


def test_what_is_no_set_of_mixtures_is_one_sentence(plain, tmp_path):
    gains = tmp_path / "gains.csv"
    gains.write_text(format_rows([dict(row) for row in read_reference_rows(2)[:2]]))
    (tmp_path / "speech" / "ann").mkdir(parents=True)
    three = write_folder(tmp_path / "three", 1, n_src=3, duration_s=0.3)
    for path, said in (
        (tmp_path / "nowhere", "no such folder or table"),
        (gains, "lists recordings that are to be mixed, and no audio"),
        (tmp_path / "speech", "Other layouts: mix/ s1/ s2/"),
        (three, "add --set mixtures.n_src=3"),
        (LAYOUTS["CSV of SpeechBrain"](plain / "test", tmp_path / "x"), ""),
    ):
        corpora = [*name_splits(plain)[:2], f"test={path}"]
        experiment = open_in(tmp_path, corpora)
        if not said:
            assert len(experiment.inputs.existing["test"]) == SPLITS["test"]
            continue
        with pytest.raises(UserError) as caught:
            _ = experiment.inputs.existing
        assert said in str(caught.value)
