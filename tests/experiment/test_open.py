"""From options to an experiment: what is refused, and where things lie."""

import subprocess
import sys
from pathlib import Path

import pytest

from separation.errors import UserError
from separation.experiment.open import open_experiment
from separation.options import parse_corpus
from tests.conftest import ROOT


@pytest.mark.parametrize("tag", ["../x", "a/b", "", ".hidden", "-x", "a b"])
def test_a_tag_that_would_leave_the_experiments_is_refused(tag):
    with pytest.raises(UserError, match="--tag"):
        open_experiment("mini/ConvTasNet", tag=tag)


def test_python_refuses_the_tag_that_run_sh_refuses(call, tmp_path):
    """It made folders beside exp/: only run.sh looked at the tag."""
    done = call(
        *(sys.executable, "-m", "separation", "train", "--tag", "../x"),
        *("--exp", tmp_path / "exp", "--data", tmp_path / "data"),
    )
    assert done.returncode == 2 and "error: --tag ../x: use letters" in done.stdout
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["speech", "speech=", "=DIR"])
def test_a_corpus_is_name_and_folder(text):
    with pytest.raises(UserError, match="write it as NAME=DIR"):
        parse_corpus(text)
    assert parse_corpus("speech=~/x") == ("speech", Path.home() / "x")


def test_later_roots_win(monkeypatch, tmp_path):
    recipe = "librimix/ConvTasNet"
    monkeypatch.setenv("SEPARATION_CORPUS_LIBRISPEECH", str(tmp_path / "exported"))
    monkeypatch.setenv("SEPARATION_CORPUS_SPEECH", str(tmp_path / "of another recipe"))
    experiment = open_experiment(recipe)
    assert experiment.roots.given == {"librispeech": tmp_path / "exported"}
    given = [f"librispeech={tmp_path / 'given'}"]
    assert open_experiment(recipe, corpora=given).roots.find("librispeech") == tmp_path / "given"
    monkeypatch.delenv("SEPARATION_CORPUS_LIBRISPEECH")
    downloads = tmp_path / "data" / "corpora"
    found = open_experiment(recipe, data=tmp_path / "data").roots.find("librispeech")
    assert found == downloads / "LibriSpeech"


def test_questions_and_done_checks_import_neither_torch_nor_asteroid():
    code = (
        "import sys, separation.stages.state, separation.experiment.open as o;"
        "e = o.open_experiment('mini/ConvTasNet'); e.kind;"
        "from separation.stages.run import run_stage;"
        "print([name for name in ('torch', 'asteroid', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.stdout == "[]\n", done.stderr
