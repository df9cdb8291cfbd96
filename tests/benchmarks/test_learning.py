"""Comparisons of trainings: equal steps from equal weights, tables by hand, kept pages."""

import pytest
import torch

from benchmarks import early_curves
from benchmarks.early_curves import format_table, interpolate
from benchmarks.gpu.steps import make_product_step, make_stock_step
from benchmarks.learning import Learner
from tests.support.training_case import N_SAMPLES, Voices, make_conf

CPU = torch.device("cpu")
A = [
    {"step": 25, "minutes": 1.0, "dev_si_sdri": 1.0, "train_loss": 0.0},
    {"step": 50, "minutes": 2.0, "dev_si_sdri": 3.0, "train_loss": -1.0},
]
B = [{"step": 100, "minutes": 1.0, "dev_si_sdri": 4.0, "train_loss": -2.0}]


def test_stock_and_ours_learn_the_same_from_the_same_batches():
    """Three steps in float32 from the same weights end within rounding of one another."""
    conf = make_conf(batch_size=2, warmup_steps=0)
    dev = [Voices()[10_000 + number] for number in range(5)]
    found = []
    for make in (make_stock_step, make_product_step):
        learner = Learner(make(conf, CPU, 1), Voices(), 2, CPU)
        before = learner.score(dev)
        losses = [learner.learn(2), learner.learn(1)]
        assert learner.losses[2] == losses[1] and len(learner.losses) == 3
        assert learner.cpu_s > 0 and learner.step.model.training
        found.append([before, *losses, learner.score(dev)])
    assert found[0] == pytest.approx(found[1], abs=0.02)
    assert found[0][0] != pytest.approx(found[0][3], abs=1e-4)


def test_a_score_is_the_gain_over_the_mixture():
    """A model that gives the mixture twice improves nothing."""

    class Copies(torch.nn.Module):
        def forward(self, wav):
            return wav[:, None].expand(-1, 2, -1)

    class Idle:
        model = Copies()

    dev = [(torch.randn(N_SAMPLES), torch.randn(2, N_SAMPLES)) for _ in range(3)]
    assert Learner(Idle(), Voices(), 2, CPU).score(dev) == pytest.approx(0, abs=1e-5)


def test_curves_are_compared_at_equal_steps_and_minutes():
    assert interpolate(A, "step", 37.5) == 2.0 and interpolate(A, "minutes", 1.0) == 1.0
    assert interpolate(A, "step", 51) is None and interpolate(A, "step", 24) is None
    table = format_table({"one": A, "other": B}, "step").splitlines()
    assert table[0].endswith("| 25 steps | 50 steps | 100 steps |")
    assert table[2:] == ["| one | 1.00 | 3.00 | – |", "| other | – | – | 4.00 |"]


def test_the_page_holds_the_curves_of_the_repository():
    text = early_curves.PAGE.read_text(encoding="utf-8")
    tables = early_curves.make_tables(early_curves.read_curves(early_curves.FOLDER))
    assert early_curves.BEGIN + tables + early_curves.END in text
