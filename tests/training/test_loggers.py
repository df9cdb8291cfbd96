"""Loggers beside TensorBoard: Lightning's are asked for the right things, and named if missing."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning.loggers

from separation.config.load import build_conf, load_conf
from separation.config.training import MACHINE_KEYS
from separation.errors import UserError
from separation.experiment.open import open_experiment
from separation.files import read_json
from separation.stages.model import run_train
from separation.training.loggers import check_loggers, name_run, open_loggers
from separation.training.tracking import Tracking
from tests.config.test_later_keys import hash_training
from tests.conftest import ROOT
from tests.support.training_case import make_dev

CALLS: list[tuple] = []


class Recorder:
    """Lightning's loggers, as far as they are used here."""

    def __init__(self, **arguments) -> None:
        CALLS.append(("made", arguments))
        self.run_id = arguments.get("run_id") or "run1"
        note = lambda name: lambda *values: CALLS.append((name, *values))  # noqa: E731
        self.experiment = SimpleNamespace(finish=note("finish"), log_figure=note("log_figure"))

    def __getattr__(self, name: str):
        return lambda *values, **named: CALLS.append((name, *values))


@pytest.fixture
def recorded(monkeypatch) -> list[tuple]:
    CALLS.clear()
    for package, name in (("wandb", "WandbLogger"), ("mlflow", "MLFlowLogger")):
        module = ModuleType(package)
        module.__spec__ = SimpleNamespace()
        monkeypatch.setitem(sys.modules, package, module)
        monkeypatch.setattr(pytorch_lightning.loggers, name, Recorder)
    return CALLS


def test_all_three_get_numbers_and_an_example(recorded, tmp_path):
    folder = tmp_path / "mini" / "ConvTasNet" / "default"
    names = ["tensorboard", "wandb", "mlflow"]
    tracking = Tracking(open_loggers(names, folder, 1, {"training": {"lr": 0.1}}))
    tracking.add_scalars({"lr": 0.1}, 20)
    tracking.add_example(make_dev()[0], lambda wave: np.stack([wave, wave]), 4000, 20)
    tracking.close()
    made = [call[1] for call in recorded if call[0] == "made"]
    assert made[0]["name"] == made[1]["run_name"] == name_run(folder) == "mini/ConvTasNet/default"
    assert made[0]["resume"] == "allow" and str(folder) in made[1]["tracking_uri"]
    said = [call[0] for call in recorded]
    assert said.count("log_metrics") == 2 and ("log_metrics", {"lr": 0.1}, 20) in recorded
    assert said.count("log_audio") == 1 + 2 + 2 and said.count("log_image") == 1
    assert said.count("log_figure") == 1 and said.count("finalize") == 2 and "finish" in said
    assert len([*(folder / "tensorboard").iterdir()]) == 1
    first = read_json(folder / "loggers.json")
    open_loggers(names[1:], folder, 30, {})
    again = [call[1] for call in recorded if call[0] == "made"][2:]
    assert (again[0]["id"], again[1]["run_id"]) == (first["wandb"], first["mlflow"])


def test_a_missing_package_is_named_before_anything_is_trained(tmp_path, monkeypatch):
    missing = {"wandb": None}
    find = "separation.training.loggers.find_spec"
    monkeypatch.setattr(find, lambda name: missing.get(name, name))
    overrides = ["training.loggers=[tensorboard, wandb]"]
    experiment = open_experiment("mini/ConvTasNet", overrides, data=tmp_path, exp=tmp_path)
    with pytest.raises(UserError, match="wandb is not installed: run pip install wandb"):
        run_train(experiment)
    assert not experiment.folder.path.exists()
    check_loggers([])


def test_loggers_are_in_no_key_and_may_change():
    recipe = "mini/ConvTasNet"
    plain = load_conf(ROOT, recipe, [])
    other = load_conf(ROOT, recipe, ["training.loggers=[mlflow]", "report.language=zh"])
    assert plain.training.loggers == ["tensorboard"] and other.training.loggers == ["mlflow"]
    assert "loggers" in MACHINE_KEYS and "loggers" not in plain.section("training")["training"]
    assert "language" not in plain.section("report")["report"]
    before = plain.as_dict()
    del before["training"]["loggers"], before["report"]["language"]
    assert build_conf(before).fingerprint() == plain.fingerprint()
    assert hash_training(plain) == hash_training(other)
    with pytest.raises(UserError, match="tensorboard, wandb, mlflow"):
        load_conf(ROOT, recipe, ["training.loggers=[comet]"])
