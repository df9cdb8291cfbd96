"""A published folder: Asteroid's format, a card that the Hub reads; and what is refused."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
import torch
import yaml
from huggingface_hub import ModelCard

from separation.__main__ import main
from separation.config.load import load_conf
from separation.config.schema import Conf
from separation.files import hash_file, read_json, write_json
from separation.models.asteroid import import_asteroid, save_model
from separation.models.checkpoint.load import open_model
from separation.models.published import read_published
from separation.training.module import make_model
from tests.conftest import ROOT, make_voice
from tests.support.mixture_folders import write_folder
from tests.support.small_models import list_small
from tests.support.training_case import make_conf


def score(mean: float) -> dict:
    return {"mean": mean, "low": mean - 0.5, "high": mean + 0.5, "n": 4}


def score_sets(*sets: str) -> dict:
    """summary.json's scores, the model's SI-SDRi falling from set to set."""
    names = ("si_sdr", "si_sdri", "sdr", "sdri")
    estimators = {"mixture": 0.0, "model": 5.25}
    return {
        test_set: {
            name: {"all": {"n_mixtures": 4} | {key: score(mean - 2 * place) for key in names}}
            for name, mean in estimators.items()
        }
        for place, test_set in enumerate(sets)
    }


def write_experiment(folder: Path, conf: Conf, recipe: str) -> Path:
    """An experiment folder after stage 5, with random weights."""
    folder.mkdir(parents=True)
    save_model(make_model(conf), folder / "best_model.pth")
    (folder / "conf.yml").write_text(yaml.safe_dump(conf.as_dict(), sort_keys=False))
    (folder / "curves.csv").write_text("epoch,step,elapsed_s\n0,10,30\n1,20,90\n")
    run = {"recipe": recipe, "commit": "abc", "device": "CPU", "seed": 0}
    run |= {"versions": {"torch": "2.13", "g722": ""}, "fingerprints": {"dev": "d1", "test": "t1"}}
    write_json(folder / "run.json", run | {"conf_fingerprint": "c1"})
    about = {"checkpoint_sha256": hash_file(folder / "best_model.pth")[:16], "audio_test": "a1"}
    summary = {"about": about, "scores": score_sets("test_seen", "test_unseen")}
    write_json(folder / "evaluation" / "summary.json", summary)
    return folder


@pytest.fixture
def experiment(tmp_path) -> Path:
    """Of Conv-TasNet."""
    folder = tmp_path / "exp" / "mini" / "ConvTasNet" / "mine"
    return write_experiment(folder, make_conf(), "mini/ConvTasNet")


@dataclass
class Done:
    """Exit code and output of a command."""

    returncode: int
    stdout: str


@pytest.fixture
def call(capsys, monkeypatch):
    """Run a command of ``python -m separation`` in this process, which has imported torch."""

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["separation", *map(str, words)])
        capsys.readouterr()
        code = main()
        return Done(code, "".join(capsys.readouterr()))

    return run


def publish(call, experiment: Path, out: Path, *options: str) -> Done:
    return call("publish", experiment, "--out", out, *options)


def test_published_folder_loads_in_asteroid_and_here(call, experiment, tmp_path):
    options = ("--name", "me/mini", "--author", "A B", "--licence", "cc-by-sa-4.0")
    done = publish(call, experiment, tmp_path / "out", *options)
    assert done.returncode == 0, done.stdout
    assert f"hf upload me/mini {tmp_path / 'out'} ." in done.stdout
    assert "not stated" not in done.stdout
    path = tmp_path / "out" / "pytorch_model.bin"
    own = open_model(str(experiment))
    theirs = import_asteroid("models").BaseModel.from_pretrained(str(path)).eval()
    mixtures = torch.randn(1, 4000)
    for loaded in (theirs, open_model(str(tmp_path / "out")).model):
        assert torch.equal(loaded(mixtures), own.model(mixtures))
        assert loaded.sample_rate == own.sample_rate == 4000
    package = torch.load(path, weights_only=True)  # no allow-list: plain values only
    assert package["infos"]["final_metrics"]["si_sdr_imp"] == 3.25
    assert package["infos"]["scores"]["test_seen"]["sdr_imp"] == 5.25
    assert package["infos"]["training_config"]["audio"]["sample_rate"] == 4000
    assert package["infos"]["recipe_name"] == "mini/ConvTasNet"


def test_sepreformer_is_published_compared_and_loaded_by_asteroid(call, tmp_path):
    """Published, a network of our own is a model as any other; Asteroid has been told its class."""
    conf = load_conf(ROOT, "folder/SepReformer", list_small("SepReformer"))
    own = write_experiment(tmp_path / "exp", conf, "folder/SepReformer")
    done = publish(call, own, tmp_path / "out", "--name", "me/model", "--author", "A B")
    assert done.returncode == 0, done.stdout
    path = tmp_path / "out" / "pytorch_model.bin"
    theirs = import_asteroid("models").BaseModel.from_pretrained(str(path)).eval()
    mixture = torch.randn(1, 4001)
    with torch.no_grad():
        assert torch.equal(theirs(mixture), open_model(str(own)).model(mixture))
    write_folder(tmp_path / "mixtures", 2)
    words = ["compare", "--models", tmp_path / "out", "--test-sets", tmp_path / "mixtures"]
    words += ["--metrics", "si_sdr", "--oracles", "--nj", 1, "--device", "cpu"]
    done = call(*words, "--out", tmp_path / "compared")
    assert done.returncode == 0, done.stdout
    (scored,) = [path for path in tmp_path.glob("compared/**/*.csv") if path.stem != "mixture"]
    assert len(scored.read_text().splitlines()) == 3


def test_upload_command_is_one_for_a_shell(call, experiment, tmp_path):
    """A path with a space was two words in it."""
    done = publish(call, experiment, tmp_path / "my models")
    command = done.stdout.partition("then upload: ")[2].splitlines()[0]
    assert shlex.split(command)[-2:] == [str(tmp_path / "my models"), "."]


def test_it_has_what_asteroids_publisher_makes(call, experiment, tmp_path, capsys):
    publish(call, experiment, tmp_path / "out")
    ours = torch.load(tmp_path / "out" / "pytorch_model.bin", weights_only=True)
    publisher = import_asteroid("models.publisher")
    package = open_model(str(experiment)).model.serialize()
    package |= {"dataset": "mini", "licenses": [], "task": "sep_clean"}
    metrics = {"si_sdr": 1.0}
    theirs = publisher.save_publishable(str(tmp_path / "theirs"), package, metrics, {}, "r")
    assert theirs.keys() <= ours.keys() and theirs["infos"].keys() <= ours["infos"].keys()
    # Zenodo's page is made of it
    ours = publisher._populate_publishable(ours, "A B", "Home", "me")
    page = publisher.make_metadata_from_model(ours)
    assert page["title"].startswith("me/ConvTasNet_mini") and "si_sdr_imp: 3.25" in str(page)


def test_card_is_one_that_the_hub_reads(call, experiment, tmp_path):
    options = ("--name", "me/mini", "--licence", "cc-by-sa-4.0", "--language", "en")
    publish(call, experiment, tmp_path / "out", *options)
    card = ModelCard.load(tmp_path / "out" / "README.md")
    data = card.data
    assert data.license == "cc-by-sa-4.0" and data.language == ["en"]
    assert data.library_name == "asteroid" and {"asteroid", "ConvTasNet"} <= set(data.tags)
    found = {
        (result.dataset_name, result.metric_type): result.metric_value
        for result in data.eval_results
    }
    assert found["mini test_unseen, 4 mixtures, 4 kHz, min", "si_sdri"] == 3.25
    assert found["mini test_seen, 4 mixtures, 4 kHz, min", "sdri"] == 5.25
    stated = ["dev: `d1`", "audio_test: `a1`", "20 steps in 1.5 minutes", "commit abc", "4000 Hz"]
    stated += ["voices never heard 3.25 dB", 'from_pretrained("me/mini")']
    assert not [text for text in stated if text not in card.text]


def test_what_is_not_stated_is_said_and_not_invented(call, experiment, tmp_path):
    done = publish(call, experiment, tmp_path / "out")
    assert "not stated: the author" in done.stdout and "not stated: the licence" in done.stdout
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license is None and card.data.language is None
    assert "hf upload USER/ConvTasNet_mini_sepclean_4k" in done.stdout


def test_a_name_that_is_taken_is_not_suggested(call, experiment, tmp_path):
    run, conf = read_json(experiment / "run.json"), experiment / "conf.yml"
    write_json(experiment / "run.json", run | {"recipe": "librimix/ConvTasNet"})
    own = yaml.safe_load(conf.read_text())
    own["corpus"]["source"], own["audio"]["sample_rate"] = "librispeech", 8000
    conf.write_text(yaml.safe_dump(own))
    done = publish(call, experiment, tmp_path / "out")
    assert "USER/ConvTasNet_Libri2Mix_sepclean_8k_retrained" in done.stdout


def break_experiment(folder: Path, case: str) -> str:
    """Make an experiment unfit; returns what the sentence must hold."""
    summary = folder / "evaluation" / "summary.json"
    match case:
        case "not evaluated":
            summary.unlink()
            return "--recipe mini/ConvTasNet --tag mine --stage 5"
        case "no model scored":
            content = json.loads(summary.read_text())
            del content["scores"]["test_seen"]["model"], content["scores"]["test_unseen"]["model"]
            write_json(summary, content)
            return "stage 5 has not scored its model"
        case "trained on":
            with open(folder / "best_model.pth", "ab") as handle:
                handle.write(b"x")
            return "its scores are those of another best_model.pth"
    (folder / "run.json").unlink()
    return "is no experiment that stage 4 has trained"


@pytest.mark.parametrize("case", ["not evaluated", "no model scored", "trained on", "not trained"])
def test_what_is_not_ready_is_refused(case, call, experiment, tmp_path):
    sentence = break_experiment(experiment, case)
    done = publish(call, experiment, tmp_path / "out")
    assert done.returncode == 2 and done.stdout.startswith(f"error: {experiment}: ")
    assert sentence in done.stdout and done.stdout.count("\n") == 1
    assert not (tmp_path / "out" / "pytorch_model.bin").exists()


def test_name_that_the_hub_would_refuse(call, experiment, tmp_path):
    done = publish(call, experiment, tmp_path / "out", "--name", "mine")
    assert done.returncode == 2 and "write it as USER/NAME" in done.stdout


def test_models_lists_what_is_published(call, tmp_path, monkeypatch):
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    done = call("models")
    assert done.returncode == 0
    for entry in read_published():
        line = next(line for line in done.stdout.splitlines() if line.startswith(entry.name))
        scores = [*(f"{value:.2f}" for value in [*entry.scores.values()][:4])]
        scores.append(f"{entry.scores['stoi']:.3f}")
        place = line.split().index(entry.task) + 1
        assert line.split()[place : place + 5] == scores and entry.test_set in line
        assert entry.licence in line and str(entry.sample_rate) in line and "cached" not in line
        assert not entry.zenodo or f"{entry.zenodo_name} = {entry.name}" in done.stdout


def test_models_as_json_says_what_is_cached(call, tmp_path, monkeypatch):
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    entry = next(entry for entry in read_published() if entry.zenodo)
    hub_utils = import_asteroid("utils.hub_utils")
    path = tmp_path / hub_utils.url_to_filename(entry.url) / "model.pth"
    path.parent.mkdir()
    path.touch()
    done = call("models", "--json")
    models = {model["name"]: model for model in json.loads(done.stdout)}
    assert len(models) == 1 + len(read_published())
    assert models[entry.name]["cached"] == str(path) and models[entry.name]["url"] == entry.url
    assert [name for name, model in models.items() if model["cached"]] == ["shipped", entry.name]


def test_separate_takes_what_the_loader_takes(call, experiment, tmp_path):
    """A mistake in --model is one sentence; a pickle of unknown things names the flag."""
    audio = tmp_path / "call.wav"
    soundfile.write(audio, make_voice(1, 120, 1.0, 8000), 8000)
    command = ("separate", audio, "--out", tmp_path / "out")
    done = call(*command, "--model", "ConvTasNet_Libri2Mix_sepclean_16")
    assert done.returncode == 2 and "error: --model ConvTasNet" in done.stdout
    assert "did you mean JorisCos/ConvTasNet_Libri2Mix_sepclean_16k?" in done.stdout
    package = torch.load(experiment / "best_model.pth", weights_only=True)
    torch.save(package | {"layer": torch.nn.ReLU()}, tmp_path / "model.pth")
    done = call(*command, "--model", tmp_path / "model.pth")
    assert done.returncode == 2 and "add --trust-checkpoint" in done.stdout
    done = call(*command, "--model", tmp_path / "model.pth", "--trust-checkpoint")
    assert done.returncode == 0, done.stdout
    assert sorted(path.name for path in (tmp_path / "out").glob("*.wav")) == [
        "call_s1.wav",
        "call_s2.wav",
    ]
