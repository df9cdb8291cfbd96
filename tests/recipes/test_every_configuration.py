"""Every shipped configuration trains, goes on to the bit, and loads with plain Asteroid."""

import pytest
import torch

from separation.config.load import load_conf
from separation.config.recipes import find_confs, list_recipes
from separation.config.schema import Conf
from separation.models.asteroid import import_asteroid
from separation.models.checkpoint.load import load_model
from separation.training.loop import train
from separation.yaml_files import read_yaml
from tests.conftest import ROOT
from tests.support.small_models import SMALL
from tests.support.training_case import N_SAMPLES, Trapped, Voices, make_dev, read

CPU = torch.device("cpu")
BATCH, N_STEPS = 2, 2  # of an epoch
SHORT = {  # all else of the training section is what ships
    "batch_size": BATCH, "epoch_mixtures": BATCH * N_STEPS, "epochs": 2, "num_workers": 0,
    "compile": "off", "precision": "fp32", "examples_every": 0, "init_from": "", "dev_mixtures": 1,
}  # fmt: skip


def load_short(recipe: str) -> Conf:
    """The recipe with a small network and two short epochs."""
    conf = load_conf(ROOT, recipe, [])
    of_model = conf.as_dict()["model"]
    sizes = {key: value for key, value in SMALL.items() if key in of_model and key != "dropout"}
    if "stride" not in of_model or of_model.get("kernel_size", 0) % 2:
        sizes.pop("kernel_size", None)
    sets = {f"model.{key}": value for key, value in sizes.items()}
    sets |= {"model.kernel_rate": 0} if "kernel_rate" in of_model else {}
    short = SHORT | {"segment_s": N_SAMPLES / conf.audio.sample_rate}
    sets |= {f"training.{key}": value for key, value in short.items()}
    return load_conf(ROOT, recipe, [f"{key}={value}" for key, value in sets.items()])


def list_distinct() -> list[str]:
    """One recipe for each model and training that differ in more than what is made small here."""
    seen: dict[str, str] = {}
    for recipe in list_recipes(ROOT):
        changes: dict[str, dict] = {"model": {}, "training": {}}
        for path in find_confs(ROOT, recipe):
            for section, values in (read_yaml(path) or {}).items():
                changes.get(section, {}).update(values)
        for key in SMALL.keys() | SHORT.keys() | {"kernel_rate", "segment_s", "budget_min", "lr"}:
            changes["model"].pop(key, None)
            changes["training"].pop(key, None)
        name = changes["model"].pop("name", "ConvTasNet")
        seen.setdefault(f"{name} {sorted(map(str, changes.values()))}", recipe)
    return list(seen.values())


@pytest.mark.parametrize("recipe", list_distinct())
def test_it_trains_goes_on_to_the_bit_and_loads_with_asteroid(recipe, tmp_path):
    conf, dev = load_short(recipe), make_dev(1)
    train(conf, Voices(), dev, tmp_path / "whole", CPU)
    with pytest.raises(SystemExit):  # in the second epoch
        train(conf, Trapped(Voices(), BATCH * N_STEPS, 15), dev, tmp_path / "cut", CPU)
    assert read(tmp_path / "cut")["step"] == N_STEPS + 1
    train(conf, Voices(), dev, tmp_path / "cut", CPU)
    whole, cut = (read(tmp_path / name)["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    path = tmp_path / "cut" / "best_model.pth"
    theirs, ours = import_asteroid("models").BaseModel.from_pretrained(str(path)), load_model(path)
    mixture = torch.randn(1, N_SAMPLES)
    with torch.no_grad():
        assert torch.equal(theirs.eval()(mixture), ours.eval()(mixture))
