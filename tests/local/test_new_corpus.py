"""A made-up corpus of one file, CONTRIBUTING's example: fetched, listed, drawn, packed, named."""

import io
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from separation.files import read_rows
from tests.conftest import ROOT, make_voice
from tests.download import test_fetch
from tests.publish import test_publish

site = test_fetch.site
experiment = test_publish.experiment
RECIPE = "folder/ConvTasNet"
SETS = ("corpus.source=tones", "splits.by=subset", "mixtures.n_dev=2", "mixtures.n_test=2")


def read_example() -> str:
    """The file that CONTRIBUTING shows, to the letter."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A corpus")[2]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example is not None
    return example[1]


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """The repository as it would be cloned, and one more file in local/."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("conf", "egs", "local", "separation"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "local" / "tones.py").write_text(read_example(), encoding="utf-8")
    return folder


def pack_corpus() -> bytes:
    """Two speakers of three utterances in each subset."""
    archive = io.BytesIO()
    names = [
        f"{subset}/{subset}_{speaker}/say{item}.wav"
        for subset in ("train", "dev", "test")
        for speaker in ("ann_F", "bob_M")
        for item in range(3)
    ]
    with zipfile.ZipFile(archive, "w") as members:
        for number, name in enumerate(names):
            recording = io.BytesIO()
            samples = make_voice(number, 120 + 5 * number, 2.5, 8000)
            soundfile.write(recording, samples, 8000, format="WAV")
            members.writestr(f"tones/{name}", recording.getvalue())
    return archive.getvalue()


def run(call, house: Path, *words: object) -> subprocess.CompletedProcess:
    return call(sys.executable, "-m", "separation", *words, cwd=house)


def run_stage(call, house: Path, stage: str, *options: str) -> str:
    """One stage over the made-up corpus; returns what it printed."""
    sets = [word for text in SETS for word in ("--set", text)]
    done = run(call, house, stage, "--recipe", RECIPE, *sets, *options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.long
@pytest.mark.slow
def test_stages_0_to_3_on_a_corpus_of_one_file(call, house, site, monkeypatch):
    site.files["/tones.zip"] = pack_corpus()
    monkeypatch.setenv("http_proxy", site.url)  # so that the example's own URL leads to us
    printed = run_stage(call, house, "preflight")
    assert "tones was not given with --corpus: looking in" in printed
    assert "corpus tones: 18 recordings of 6 speakers" in printed
    assert not (house / "data/corpora/tones.zip").exists()
    run_stage(call, house, "preflight")
    assert [answer.path for answer in site.log] == ["/tones.zip"]
    for stage in ("corpus", "metadata", "audio"):
        printed = run_stage(call, house, stage)
    table = read_rows(house / "data/folder/corpus.csv")
    assert {(row["speaker"], row["sex"], row["split"]) for row in table} == {
        (f"{split}_{name}", name[-1], split)
        for split in ("train", "dev", "test")
        for name in ("ann_F", "bob_M")
    }
    mixtures = read_rows(house / "data/folder/metadata/test.csv")
    assert len(mixtures) >= 2 and mixtures[0]["source_1_path"].startswith("test/test_")
    packs = {path.name for path in (house / "data/folder/packed_8000").glob("*.i16")}
    assert packs == {"train_ann_F.i16", "train_bob_M.i16"}
    given = run_stage(call, house, "preflight", "--corpus", f"tones={house}/data/corpora/tones")
    assert "not given" not in given and "corpus tones: 18 recordings" in given


@pytest.mark.slow
def test_its_licence_and_language_stand_on_a_card(call, house, experiment, tmp_path):
    conf = yaml.safe_load((experiment / "conf.yml").read_text())
    conf["corpus"]["source"] = "tones"
    (experiment / "conf.yml").write_text(yaml.safe_dump(conf))
    done = run(call, house, "publish", experiment, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout
    card = (tmp_path / "out/README.md").read_text()
    licence = "[CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/)"
    assert f"[Tones](http://tones.example/) by Nobody, {licence}." in card
    assert "language:\n- en\n" in card
    package = torch.load(tmp_path / "out/pytorch_model.bin", weights_only=True)
    assert [notice["title"] for notice in package["licenses"]] == ["Tones"]


def test_a_name_close_to_it_is_proposed(call, house):
    done = run(call, house, "preflight", "--recipe", RECIPE, "--set", "corpus.source=tonse")
    assert done.returncode == 2
    sentence = "corpus.source=tonse: there is no corpus of speech of this name in local/; "
    assert f"{sentence}did you mean tones? known: " in done.stdout
