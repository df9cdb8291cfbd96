"""Learning by heart: it passes on a sound training, and names planted bugs."""

import dataclasses
import json
import re
import sys

import pytest
import torch

import separation.overfit.loop as overfit_module
from separation.__main__ import main
from separation.config.load import load_conf
from separation.errors import UserError
from separation.models.registry import build_model
from separation.overfit.checks import check_items, check_loss, check_round_trip
from separation.overfit.loop import FirstItems, explain_gap, overfit, shorten
from separation.training.module import SeparationModule
from separation.training.step import TrainStep
from tests.conftest import ROOT, make_voice
from tests.recipes.test_run_sh import options
from tests.support.small_models import NAMES, build_small

RATE = 8000
SETS = [
    *("model.n_filters=64", "model.kernel_size=16", "model.stride=8", "model.bn_chan=32"),
    *("model.hid_chan=48", "model.skip_chan=32", "model.n_blocks=3", "model.n_repeats=1"),
    *("training.compile=off", "training.precision=fp32"),
]
CPU = torch.device("cpu")


class Voices:
    """Two mixtures of half a second, in the way of a training's segments."""

    def __getitem__(self, index: int):
        voices = [make_voice(9 * index + k, 100 + 70 * k + 20 * index, 0.5, RATE) for k in (0, 1)]
        sources = torch.stack([torch.from_numpy(voice) for voice in voices])
        return sources.sum(0), sources


class Permuted(Voices):
    """Each mixture with the sources of the other."""

    def __getitem__(self, index: int):
        return super().__getitem__(index)[0], super().__getitem__(index ^ 1)[1]


class Restless(Voices):
    """Other mixtures at every epoch."""

    n_drawn = 0

    def __getitem__(self, index: int):
        self.n_drawn += 1
        return super().__getitem__(index + self.n_drawn)


def make_conf(*sets: str, minutes: float = 2.0):
    return shorten(load_conf(ROOT, "mini/ConvTasNet/from_scratch", [*SETS, *sets]), minutes, 2)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def try_out(
    segments,
    monkeypatch,
    *,
    change=None,
    module=SeparationModule,
    train_step=TrainStep,
    minutes=2.0,
):
    """The verdict, with ``change`` done to the model that is built."""

    def build(*arguments):
        model = build_model(*arguments)
        if change is not None:
            change(model)
        return model

    monkeypatch.setattr(overfit_module, "build_model", build)
    monkeypatch.setattr(overfit_module, "SeparationModule", module)
    monkeypatch.setattr(overfit_module, "TrainStep", train_step)
    return overfit(make_conf(minutes=minutes), FirstItems(segments, 2), CPU)


def test_sound_training_learns_by_heart(monkeypatch):
    verdict = try_out(Voices(), monkeypatch)
    assert verdict["passed"], verdict
    assert verdict["si_sdr_db"] > 20 and "above 20" in verdict["sentence"]


def freeze_decoder(model) -> None:
    model.decoder.requires_grad_(False)


def detach_decoder(model) -> None:
    bank = model.decoder.filterbank
    bank.filters = lambda: bank._filters.detach()


def halve_stride(model) -> None:
    model.decoder.stride //= 2


class PermutedStep(SeparationModule):
    """Shuffles the targets within a batch, as a collate function gone wrong would."""

    def training_step(self, batch, batch_idx):
        mixtures, sources = batch
        return super().training_step([mixtures, sources.roll(1, 0)], batch_idx)


class RandomlyPermutedStep(SeparationModule):
    """The same at random: sometimes the targets are right."""

    def training_step(self, batch, batch_idx):
        mixtures, sources = batch
        return super().training_step([mixtures, sources[torch.randperm(len(sources))]], batch_idx)


class NoSearch(SeparationModule):
    """Takes estimates in the order in which they come."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.pit_loss = InOrder(self.pit_loss.loss_func)


class InOrder(torch.nn.Module):
    def __init__(self, pairwise) -> None:
        super().__init__()
        self.pairwise = pairwise

    def forward(self, found, wanted):
        return self.pairwise(found, wanted).diagonal(dim1=-2, dim2=-1).mean()


class NoRate(TrainStep):
    """Its rate is zero, whatever the config says."""

    def run(self, number, mixtures, sources, lr) -> None:
        super().run(number, mixtures, sources, 0.0)


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ({"segments": Permuted()}, "targets belong to other mixtures"),
        ({"segments": Restless()}, "are others each time they are drawn"),
        ({"module": PermutedStep}, "targets of other mixtures"),
        ({"module": RandomlyPermutedStep}, "targets of other mixtures"),
        ({"module": NoSearch}, "does not search the order"),
        ({"change": freeze_decoder}, "no gradient reaches decoder.filterbank._filters"),
        ({"change": detach_decoder}, "no gradient reaches decoder.filterbank._filters"),
        ({"change": halve_stride}, r"strides differ \(encoder 8, decoder 4 samples\)"),
        ({"train_step": NoRate}, "the learning rate is zero"),
    ],
)
def test_planted_bug_fails_with_its_sentence(planted, message, monkeypatch):
    planted = {"segments": Voices()} | planted
    verdict = try_out(planted.pop("segments"), monkeypatch, **planted)
    assert not verdict["passed"]
    assert re.search(message, verdict["sentence"]), verdict["sentence"]


def test_time_that_is_over_fails_and_says_how_far_it_came(monkeypatch):
    verdict = try_out(Voices(), monkeypatch, minutes=0.01)
    assert not verdict["passed"] and "below 20" in verdict["sentence"], verdict


@pytest.mark.parametrize("name", NAMES)
def test_sound_bases_of_every_model_pass_the_round_trip(name):
    model = build_small(name)
    assert check_round_trip(model, RATE, RATE) == ""


def test_noise_is_no_fault_where_the_task_has_it():
    items = [Voices()[k] for k in (0, 1)]
    noisy = [(mixture + 0.05 * torch.randn(len(mixture)), sources) for mixture, sources in items]
    assert "do not add up" in check_items(noisy, noisy, with_noise=False)
    assert check_items(noisy, noisy, with_noise=True) == ""
    swapped = [(a[0], b[1]) for a, b in zip(noisy, noisy[::-1], strict=True)]
    assert "do not add up" in check_items(swapped, swapped, with_noise=True)


@pytest.mark.parametrize("graphs", ["true", "false"])
def test_loss_check_passes_the_real_loss(graphs):
    """Bug: with CUDA graphs it contradicted itself, as it compiles nothing."""
    conf = make_conf("training.compile=auto", f"training.cuda_graphs={graphs}")
    assert check_loss(SeparationModule, [Voices()[0], Voices()[1]], conf.training) == ""


def test_a_loss_with_a_ceiling_is_right_too():
    """Bug: of SepReformer's recipes, whose loss ends at 30 dB, the loss was said to be wrong."""
    conf = make_conf("training.loss_ceiling=30")
    assert check_loss(SeparationModule, [Voices()[0], Voices()[1]], conf.training) == ""


def test_silent_items_are_passed_over():
    class Pauses(Voices):
        silent = (0,)

        def __getitem__(self, index: int):
            mixture, sources = super().__getitem__(index)
            return mixture, sources * torch.tensor([[1.0], [float(index not in self.silent)]])

    assert FirstItems(Pauses(), 2).numbers == [1, 2]
    silent = Pauses()
    silent.silent = range(20)
    with pytest.raises(UserError, match="fewer than two"):
        FirstItems(silent, 2)


def test_command_from_a_folder_of_speech(speech_folder, tmp_path, monkeypatch, capsys):
    """Stages 1 to 3 are asked for, then the verdict stands in the experiment folder."""
    words = options(tmp_path, speech_folder)

    def run(command: str, *more: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["separation", command, *words, *more])
        code = main()
        return code, "".join(capsys.readouterr())

    code, told = run("overfit")
    assert code == 2 and "--stage 1" in told, told
    for stage in ("preflight", "corpus", "metadata", "audio"):
        assert run(stage)[0] == 0
    code, told = run("overfit", "--minutes", "0.03")
    assert code == 1 and "overfit FAILED: 10 training mixtures" in told, told
    folder = tmp_path / "exp/mini/ConvTasNet/default"
    verdict = json.loads((folder / "overfit.json").read_text())
    assert not verdict["passed"] and verdict["n_mixtures"] == 10 and verdict["commit"]
    code, told = run("overfit", "--n", "1")
    assert code == 2 and "--n 1: should be a whole number, 2 or more" in told


def test_short_training_keeps_the_rest_of_the_recipe():
    conf = load_conf(ROOT, "librimix/ConvTasNet_small", [])
    short = shorten(conf, 10, 10)
    assert short.training.batch_size == 2 and short.training.segment_s == 2.0
    assert dataclasses.replace(short, training=conf.training) == conf


def test_a_gap_between_loss_and_score_is_explained_by_the_model():
    with_norm = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    assert "BatchNorm" in explain_gap(with_norm) and "batch_size" in explain_gap(with_norm)
    assert "does not measure" in explain_gap(torch.nn.Linear(2, 2))
