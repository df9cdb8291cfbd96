"""Which config an experiment's folder takes: its own once it is trained, any before that."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from separation.config.training import TrainingConf
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.experiment.open import open_experiment
from separation.files import write_json
from separation.stages import model
from separation.stages.state import refuse_other_config, save_conf
from tests.conftest import ROOT


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    for speaker in ("ann_F", "bob_M", "cai_M"):
        (tmp_path / "speech" / speaker).mkdir(parents=True)
        (tmp_path / "speech" / speaker / "say.wav").write_bytes(b"not decoded here")
    return open_experiment(
        "folder/ConvTasNet",
        corpora=[f"speech={tmp_path / 'speech'}"],
        data=tmp_path / "data",
        exp=tmp_path / "exp",
        device="cpu",
    )


def change(experiment: Experiment, **values) -> Experiment:
    training: TrainingConf = dataclasses.replace(experiment.conf.training, **values)
    return dataclasses.replace(
        experiment, conf=dataclasses.replace(experiment.conf, training=training)
    )


@pytest.fixture
def no_training(monkeypatch):
    """Stage 4 without its training: what it says and saves, and then a model."""

    def save(experiment: Experiment) -> None:
        experiment.folder.checkpoint.write_bytes(b"weights")

    monkeypatch.setattr(model, "_train", save)
    monkeypatch.setattr(model, "read_fingerprints", lambda _: {})


def test_a_run_that_crashed_before_its_first_step_does_not_block_its_tag(
    experiment, no_training, capsys
):
    save_conf(experiment)
    write_json(experiment.folder.run, {"data_key": "of other recordings"})
    changed = change(experiment, lr=0.5)
    refuse_other_config(changed)
    model.run_train(changed)
    said = capsys.readouterr().out
    assert "begun anew with training.lr: 0.001 -> 0.5" in said and said.count("\n") == 1
    assert changed.folder.read_conf()["training"]["lr"] == 0.5
    assert changed.folder.read_run()["data_key"] != "of other recordings"


@pytest.mark.parametrize("name", ["best_model.pth", "curves.csv", "checkpoints/last.ckpt"])
def test_anything_trained_keeps_its_config(experiment, name):
    save_conf(experiment)
    path: Path = experiment.folder.path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    refuse_other_config(experiment)
    refuse_other_config(change(experiment, num_workers=3))  # says how it runs, not what it learns
    with pytest.raises(UserError, match=r"training.lr: 0.001 -> 0.5"):
        refuse_other_config(change(experiment, lr=0.5))
    write_json(experiment.folder.run, {"data_key": "of other recordings"})
    with pytest.raises(UserError, match="begun on other recordings"):
        model.run_train(experiment)


def test_a_second_training_in_the_same_folder_is_refused(experiment, no_training):
    """Before its first checkpoint the first one would not be seen otherwise."""
    folder = experiment.folder.path
    hold = "import sys, pathlib; from separation.stages.model import ExperimentFolder, _hold\n"
    hold += "with _hold(ExperimentFolder(pathlib.Path(sys.argv[1]))):\n"
    hold += "    print('held', flush=True); input()"
    command = [sys.executable, "-c", hold, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process trains in it"):
            model.run_train(experiment)
        process.communicate("\n")
    model.run_train(experiment)
