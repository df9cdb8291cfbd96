"""A made-up model of one file, CONTRIBUTING's example: trained in each precision, scored, read."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from separation.files import read_rows
from tests.conftest import ROOT, make_voice

SETS = (
    *("model.hid_size=8", "splits.dev_share=0.34", "splits.test_share=0.34", "mixtures.n_dev=2"),
    *("mixtures.n_test=2", "mixtures.min_utterance_s=1.5", "training.segment_s=1.0"),
    *("training.epoch_mixtures=8", "training.epochs=1", "training.compile=off"),
    *("training.num_workers=0", "evaluation.check_mixtures=1"),
)


def read_example(language: str) -> str:
    """What CONTRIBUTING shows in a language, to the letter."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A model")[2]
    example = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert example is not None
    return example[1]


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """The repository with one more file, its defaults, and a recipe that names the model."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("benchmarks", "conf", "egs", "local", "separation", "tests"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "separation" / "models" / "band_mask.py").write_text(read_example("python"))
    defaults = folder / "conf" / "default.yml"
    text = defaults.read_text(encoding="utf-8")
    defaults.write_text(text.replace("\ntraining:\n", f"\n{read_example('yaml')}training:\n"))
    recipe = folder / "egs" / "folder" / "BandMask"
    recipe.mkdir()
    (recipe / "conf.yml").write_text("model:\n  name: BandMask\n")
    return folder


def call(house: Path, *words: object) -> subprocess.CompletedProcess:
    """A Python module of the copy."""
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, cwd=house, capture_output=True, text=True, timeout=500)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    "precision",
    ["auto", *(pytest.param(name, marks=pytest.mark.long) for name in ("fp32", "bf16"))],
)
def test_a_model_of_one_file_goes_through_all_stages(precision, house, speech_folder, tmp_path):
    sets = [word for text in (*SETS, f"training.precision={precision}") for word in ("--set", text)]
    places = ["--data", house / "data", "--exp", tmp_path / "exp", "--device", "cpu"]
    corpus = ["--corpus", f"speech={speech_folder}"]
    recipe = ["--recipe", "folder/BandMask"]
    done = call(house, "separation", "run", *recipe, *corpus, *places, *sets)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "exp" / "folder" / "BandMask" / "default"
    assert read_rows(folder / "curves.csv")[-1]["step"] == "2"
    rows = read_rows(folder / "evaluation" / "test" / "model.csv")
    assert rows and all(np.isfinite(float(row["si_sdr"])) for row in rows)
    voices = [make_voice(k, 110 + 90 * k, 1.5, 8000) for k in (0, 1)]
    soundfile.write(tmp_path / "call.wav", 0.4 * sum(voices), 8000)
    words = [tmp_path / "call.wav", "--model", folder, "--out", tmp_path / "out"]
    done = call(house, "separation", "separate", *words, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("call_s*.wav"))) == 2


@pytest.mark.slow
def test_the_tests_of_all_models_take_it(house):
    done = call(house, "pytest", "tests/models/test_model.py", "-k", "BandMask", "-q")
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout or "." in done.stdout
