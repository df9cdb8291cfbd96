"""Losses of early estimates, and the keys of a schedule that SepReformer's recipes set."""

import itertools

import pytest
import torch

from separation.config.load import load_conf
from separation.errors import UserError
from separation.training.loop import train
from separation.training.loss import compare_magnitudes, make_early_loss, make_pit_loss
from separation.training.module import SeparationModule, list_unused_parameters
from separation.training.schedule import fade_early
from tests.conftest import ROOT
from tests.support.small_models import list_small
from tests.support.training_case import RATE, SMALL, Trapped, Voices, make_conf, make_dev, read


class TwoEstimates(torch.nn.Module):
    """A model whose first estimate is another layer's than its last."""

    sample_rate = RATE

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = (torch.nn.Conv1d(1, 2, 5, padding=2) for _ in range(2))

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        return self.late(wav[:, None])

    def estimate_all(self, wav: torch.Tensor) -> torch.Tensor:
        """``(2, batch, n_src, time)``."""
        return torch.stack([self.early(wav[:, None]), self(wav)])


def make_module(model: torch.nn.Module, **changes) -> SeparationModule:
    module = SeparationModule(model, make_conf(batch_size=2, **changes).training)
    module.prepare(2000)
    return module


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    mixtures, sources = zip(*(Voices()[i] for i in range(2)), strict=True)
    return torch.stack(mixtures), torch.stack(sources)


@pytest.mark.parametrize("kind", ["same", "magnitude"])
def test_loss_weighs_early_estimates_against_the_last(kind):
    module = make_module(TwoEstimates(), early_weight=0.3, early_loss=kind)
    mixtures, sources = make_batch()
    early, last = module.model.estimate_all(mixtures)
    of_early = make_early_loss(module.conf, RATE)(early, sources)
    expected = 0.7 * make_pit_loss()(last, sources) + 0.3 * of_early
    assert float(module.training_step((mixtures, sources), 0)) == pytest.approx(float(expected))
    module.early_weight = 0.1  # as the loop sets it when an epoch begins
    expected = 0.9 * make_pit_loss()(last, sources) + 0.1 * of_early
    loss = module.training_step((mixtures, sources), 0)
    assert float(loss) == pytest.approx(float(expected))
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())
    assert list_unused_parameters(module.model, mixtures) == set()


def test_without_their_loss_early_estimates_are_not_made():
    module = make_module(TwoEstimates(), early_weight=0)
    mixtures, sources = make_batch()
    assert module.estimate(mixtures).shape == sources.shape
    expected = make_pit_loss()(module.model(mixtures), sources)
    assert float(module.training_step((mixtures, sources), 0)) == pytest.approx(float(expected))
    assert module.list_unused_parameters() == {"model.early.weight", "model.early.bias"}


def test_weight_of_early_estimates_falls_as_in_the_paper():
    conf = make_conf().training
    weights = [fade_early(conf, epoch) for epoch in (0, 99, 100, 104, 105, 110)]
    assert weights == pytest.approx([0.4, 0.4, 0.32, 0.32, 0.256, 0.2048])
    assert fade_early(make_conf(early_hold=0).training, 500) == 0.4


def test_magnitude_loss_is_its_formula():
    """20 log10 |s| / ||x| - |s|| over all bins and frames, s scaled to fit x; any order found."""
    torch.manual_seed(0)
    sources = torch.randn(2, 3, 4000)
    estimates = 0.3 * sources[:, [2, 0, 1]] + 0.1 * torch.randn(2, 3, 4000) + 0.05
    pairwise = compare_magnitudes(estimates, sources, 512)
    window = torch.hann_window(512)
    for b, i, j in itertools.product(range(2), range(3), range(3)):
        x, s = (v - v.mean() for v in (estimates[b, i], sources[b, j]))
        s = s * max(0.01, float(x @ s / (s @ s)))
        x, s = (torch.stft(v, 512, 128, window=window, return_complex=True).abs() for v in (x, s))
        expected = -20 * torch.log10(s.norm() / (x - s).norm())
        assert float(pairwise[b, i, j]) == pytest.approx(float(expected), abs=0.01)
    conf = make_conf().training
    found = make_early_loss(conf, 8000)(estimates, sources)  # 64 ms are 512 samples
    best = torch.stack([pairwise[:, 0, 2], pairwise[:, 1, 0], pairwise[:, 2, 1]])
    assert float(found) == pytest.approx(float(best.mean()), abs=1e-4)


def test_a_source_above_the_ceiling_is_left_alone():
    torch.manual_seed(0)
    sources = torch.randn(1, 2, 4000)
    estimates = sources + torch.tensor([[[0.001], [0.3]]]) * torch.randn(1, 2, 4000)
    estimates.requires_grad_()
    loss = make_pit_loss("si_sdr", 30.0)(estimates, sources)
    alone = make_pit_loss("si_sdr")(estimates[:, 1:], sources[:, 1:])
    assert float(loss) == pytest.approx((float(alone) - 30) / 2, abs=1e-4)
    loss.backward()
    assert not estimates.grad[0, 0].any() and estimates.grad[0, 1].any()


def test_plateau_takes_its_factor_and_its_first_epoch(tmp_path):
    changes = {"lr": 1e-12, "warmup_steps": 0, "halve_after": 0, "early_stop": 0, "epochs": 5}
    conf = make_conf(epoch_mixtures=4, plateau_factor=0.8, plateau_from=2, **changes)
    train(conf, Voices(), make_dev(), tmp_path, torch.device("cpu"))
    rates = [row["lr"] for row in read(tmp_path)["results"]["rows"]]
    # epoch 2 is the first that counts, and the best so far; the next two lower the rate
    assert rates == pytest.approx([1e-12, 1e-12, 1e-12, 1e-12, 0.8e-12])


def test_stages_are_run_again_where_a_model_has_some():
    with pytest.raises(UserError, match="has no stages to run again"):
        make_module(TwoEstimates(), recompute=True)


def make_sepreformer_conf(**changes):
    """The small network with dropout and batch norm, trained as its recipes train it."""
    of_training = {key: value for key, value in SMALL.items() if not key.startswith("model.")}
    of_training |= {f"training.{name}": value for name, value in changes.items()}
    words = [*list_small("SepReformer"), "model.dropout=0.1"]
    words += [f"{key}={value}" for key, value in of_training.items()]
    return load_conf(ROOT, "folder/SepReformer", words)


@pytest.mark.parametrize("recompute", [False, True])
def test_interrupted_sepreformer_ends_with_the_same_bits(recompute, tmp_path):
    """Running means of batch norms and the weight of early estimates included."""
    device, dev = torch.device("cpu"), make_dev(1)
    conf = make_sepreformer_conf(epoch_mixtures=6, early_hold=1, batch_size=2)
    train(conf, Voices(), dev, tmp_path / "whole", device)
    conf = make_sepreformer_conf(epoch_mixtures=6, early_hold=1, batch_size=2, recompute=recompute)
    with pytest.raises(SystemExit):
        train(conf, Trapped(Voices(), 7, 15), dev, tmp_path / "cut", device)
    assert read(tmp_path / "cut")["step"] == 4
    train(conf, Voices(), dev, tmp_path / "cut", device)
    whole, cut = (read(tmp_path / name)["state_dict"] for name in ("whole", "cut"))
    assert any("running_mean" in name for name in whole)
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
