"""Stage 0 says what the stages will take, training for the epochs asked for among them."""

import pytest

from separation.experiment.open import open_experiment
from separation.stages.estimate import describe_memory, describe_training
from tests.support.inputs_page import is_documented
from tests.support.small_models import list_small


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.epochs=3", "training.epoch_mixtures=1200"], "3 epochs of 1200 mixtures of 4 s"),
        (["training.budget_min=10"], "it ends after 10 min (training.budget_min)"),
    ],
)
def test_training_time_is_said(overrides, words, tmp_path):
    small = list_small("ConvTasNet")
    experiment = open_experiment(
        "folder/ConvTasNet", [*small, *overrides], corpora=[f"speech={tmp_path}"], device="cpu"
    )
    said = describe_training(experiment, 100)
    assert words in said and is_documented(said), said


def test_next_to_nothing_is_not_measured(tmp_path):
    short = ["training.epochs=2", "training.epoch_mixtures=40", "training.segment_s=1"]
    given = [f"speech={tmp_path}"]
    experiment = open_experiment("folder/ConvTasNet", short, corpora=given)
    assert describe_training(experiment, 100) == "" and is_documented(describe_memory())
