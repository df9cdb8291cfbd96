"""The model that comes with the package: file, name, scores and card, and how it is replaced."""

import dataclasses
import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import separation
from benchmarks.ship_model import format_card
from separation.config.load import load_conf
from separation.errors import UserError
from separation.files import hash_file
from separation.models import published, shipped
from separation.models.asteroid import import_asteroid
from separation.models.checkpoint.load import open_model
from separation.models.checkpoint.locate import find_checkpoint
from separation.models.published import find_cached, list_named
from separation.stages.preflight import check_start
from separation.training.module import make_model
from tests.conftest import ROOT, make_voice
from tests.support.mixture_folders import save_small_model, write_folder

FILES = (shipped.MODEL, shipped.SCORES, shipped.CARD)


def test_scores_and_card_are_those_of_the_file():
    own = shipped.read_shipped()
    assert (own.sha256, own.size) == (hash_file(shipped.MODEL), shipped.MODEL.stat().st_size)
    assert own.size < 3.2e6 and own.n_parameters > 1e6
    assert shipped.CARD.read_text(encoding="utf-8") == format_card(own)
    for test_set in own.test_sets:
        assert test_set.by_speakers.n >= 10 and test_set.means["si_sdri"].low > 3
        assert test_set.means["si_sdri"].mean == test_set.by_speakers.mean < test_set.oracle


def test_the_card_names_data_licences_and_limits():
    card = shipped.CARD.read_text(encoding="utf-8")
    for corpus in shipped.TRAINED_ON:
        assert corpus.title in card and corpus.licence == "CC BY 4.0"
    for word in (
        "license: cc-by-4.0",
        "What it cannot do",
        "8000 Hz",
        shipped.read_shipped().sha256,
    ):
        assert word in card


def test_plain_asteroid_loads_it():
    theirs = import_asteroid("models").BaseModel.from_pretrained(str(shipped.MODEL)).eval()
    ours = open_model("shipped")
    noise = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(theirs(noise), ours.model(noise))
    assert (theirs.sample_rate, ours.sample_rate, ours.n_src) == (8000, 8000, 2)
    assert ours.published is not None and ours.published.name == "shipped" and not ours.notes


def test_the_name_needs_no_network_and_wins_over_a_folder(tmp_path, monkeypatch):
    def refuse(*_args):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shipped").mkdir()
    assert find_checkpoint("shipped").path == shipped.MODEL
    with pytest.raises(UserError, match="no such checkpoint in this folder"):
        find_checkpoint("./shipped")


def test_it_is_the_first_of_all_names(call):
    assert list_named()[0].name == "shipped" and find_cached(list_named()[0]) == shipped.MODEL
    line = call(sys.executable, "-m", "separation", "models").stdout.splitlines()[1]
    own = shipped.read_shipped()
    assert line.startswith("shipped ") and line.endswith("CC BY 4.0     comes with the package")
    assert f"{own.test_sets[0].means['si_sdri'].mean:.2f}" in line
    with pytest.raises(UserError, match="did you mean shipped"):
        find_checkpoint("shiped")


def test_another_file_in_its_place_has_no_scores(tmp_path, monkeypatch):
    other = save_small_model(tmp_path / "model.pth")
    monkeypatch.setattr(shipped, "MODEL", other)
    loaded = open_model("shipped")
    assert loaded.published is not None and loaded.published.scores == {}
    assert loaded.notes == (
        "shipped: its file is not the one that was scored, so no scores are shown",
    )
    other.unlink()
    with pytest.raises(UserError, match=r"shipped: .*model.pth is not there; get it from"):
        open_model("shipped")


def test_separate_takes_it_where_no_model_is_given_and_says_how_good_it_is(call, tmp_path):
    voices = 0.3 * (make_voice(1, 100, 1.5, 44100) + make_voice(2, 220, 1.5, 44100))
    soundfile.write(tmp_path / "call.wav", voices, 44100)
    env = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "separation", "separate", "call.wav"],
        **{"cwd": tmp_path, "env": env, "text": True, "capture_output": True},
    )
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("INFO model: shipped, a ConvTasNet of 2 speakers at 8000 Hz; ")
    assert first.endswith(shipped.read_shipped().quality)
    assert done.stdout.split() == ["separated/call_s1.wav", "separated/call_s2.wav"]
    samples, rate = soundfile.read(tmp_path / "separated" / "call_s2.wav")
    assert rate == 44100 and len(samples) == len(voices)
    estimates = separation.separate(voices, 44100)
    assert np.abs(estimates[1] - samples).max() < 1e-3


def test_training_starts_with_its_weights():
    conf = load_conf(ROOT, "mini/ConvTasNet", [])
    assert conf.training.init_from == "shipped"
    check_start(conf)
    ours, theirs = make_model(conf).state_dict(), open_model("shipped").model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    scratch = load_conf(ROOT, "mini/ConvTasNet/from_scratch", [])
    assert scratch.training.init_from == ""
    check_start(scratch)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("model.kernel_size=40", "its kernel_size is 64, the recipe's 40"),
        ("mixtures.n_src=3", "its n_src is 2, the recipe's 3"),
        ("model.name=DPRNNTasNet", "it is a ConvTasNet, the recipe's a DPRNNTasNet"),
    ],
)
def test_another_architecture_is_refused_before_long_work(change, difference, call, tmp_path):
    recipe = "folder/ConvTasNet" if "name" in change else "mini/ConvTasNet"
    stride = ["model.stride=20"] if "kernel" in change else []
    conf = load_conf(ROOT, recipe, [change, *stride, "training.init_from=shipped"])
    with pytest.raises(UserError, match=difference):
        check_start(conf)
    check_start(load_conf(ROOT, recipe, [change, *stride, "training.init_from="]))


def test_stage_0_says_so(call, tmp_path):
    places = ["--data", tmp_path / "data", "--exp", tmp_path / "exp"]
    done = call("bash", "run.sh", *places, "--set", "model.n_filters=64")
    assert done.returncode == 2 and "the recipe's 64; start from random weights" in done.stdout


def test_a_wheel_holds_it(tmp_path):
    """Built, unpacked and called from elsewhere, without the checkout."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    options = ["--no-index", "--disable-pip-version-check", "--wheel-dir", tmp_path]
    source = tmp_path / "source"
    copy_sources(source)
    subprocess.run([*pip, *options, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, tmp_path / "lib"], check=True)
    for path in FILES:
        copied = tmp_path / "lib" / path.relative_to(ROOT)
        assert copied.read_bytes() == path.read_bytes()
    ask = "import separation as s; m = s.open_model(device='cpu'); print(m.path, m.sample_rate)"
    done = subprocess.run(
        [sys.executable, "-c", ask],
        **{"cwd": "/", "env": {"PYTHONPATH": str(tmp_path / "lib")}, "text": True},
        capture_output=True,
    )
    assert done.stdout.split() == [
        str(tmp_path / "lib/separation/models/shipped/model.pth"),
        "8000",
    ]


def copy_sources(folder: Path) -> None:
    """What a wheel is built from."""
    import shutil

    for name in ("separation", "local"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)


def test_one_command_replaces_it(call, tmp_path):
    """A checkpoint and a test set -> weights, scores and card."""
    checkpoint = save_small_model(tmp_path / "best_model.pth", n_steps=20)
    folder = write_folder(tmp_path / "set", 4, duration_s=1.0)
    (tmp_path / "notes.md").write_text("By this test.\n")
    (tmp_path / "out").mkdir()
    done = call(
        *(sys.executable, "-m", "benchmarks.ship_model", checkpoint, "--nj", "1"),
        *("--test-set", f"tones={folder}", "--training", tmp_path / "notes.md"),
        *("--work", tmp_path / "work", "--out", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stdout
    own = shipped.read_shipped(tmp_path / "out" / "scores.json")
    model = tmp_path / "out" / "model.pth"
    assert own.sha256 == hash_file(model) and own.training == "By this test."
    weights = torch.load(model, weights_only=True)["state_dict"]
    assert {value.dtype for value in weights.values()} == {torch.float16}
    card = (tmp_path / "out" / "README.md").read_text()
    assert card == format_card(own) and f"{own.test_sets[0].means['si_sdri'].mean:.2f}" in card
    json.dumps(dataclasses.asdict(own), allow_nan=False)


def test_a_copy_of_its_file_is_known_by_its_hash(tmp_path):
    copy = tmp_path / "mine.pth"
    copy.write_bytes(shipped.MODEL.read_bytes())
    assert open_model(str(copy)).published == published.find_shipped()
