"""Stage 0 says what the stages will take, training for the epochs asked for among them."""

import pytest

from separation.experiment.open import open_experiment
from separation.stages.estimate import CostEstimate, describe_memory
from tests.support.inputs_page import is_documented
from tests.support.small_models import list_small


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.epochs=3", "training.epoch_mixtures=1200"], "3 epochs of 1200 mixtures of 4 s"),
        (["training.budget_min=10"], "it ends after 10 min (training.budget_min)"),
    ],
)
def test_training_time_is_said(overrides, words, tmp_path, monkeypatch):
    small = list_small("ConvTasNet")
    experiment = open_experiment(
        "folder/ConvTasNet", [*small, *overrides], corpora=[f"speech={tmp_path}"], device="cpu"
    )
    said = CostEstimate(experiment)
    monkeypatch.setattr(CostEstimate, "paths", [])
    assert words in said.describe_training() and is_documented(said.describe_training())


def test_next_to_nothing_is_not_measured(tmp_path):
    short = ["training.epochs=2", "training.epoch_mixtures=40", "training.segment_s=1"]
    given = [f"speech={tmp_path}"]
    experiment = open_experiment("folder/ConvTasNet", short, corpora=given)
    assert CostEstimate(experiment).describe_training() == "" and is_documented(describe_memory())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "stage 2: less than a minute to draw 400 mixtures"),
        (["mixtures.max_utterance_s=60"], "stage 2: about 3 min to draw 400 mixtures"),
        (["metadata.rules=librimix"], "stage 2: about 6 min to draw 700 mixtures"),
        (["mixtures.n_test=10"], "stages 5 and 6: 10 test mixtures, 15 min of audio: minutes"),
        (["evaluation.metrics=[si_sdr, sdr, pesq]"], ": about 2.3 h on this abacus with --nj 1"),
    ],
)
def test_time_of_lists_and_tests_is_said(overrides, words, monkeypatch, tmp_path):
    """Of stages 2, 5 and 6 there was no time."""
    small = ["mixtures.n_dev=100", "mixtures.n_test=300", "mixtures.max_utterance_s=0"]
    small += ["metadata.rules=teams", *list_small("ConvTasNet")]
    experiment = open_experiment(
        "folder/ConvTasNet", [*small, *overrides], corpora=[f"speech={tmp_path}"], n_jobs=1
    )
    costs = CostEstimate(experiment)
    monkeypatch.setattr(CostEstimate, "paths", [tmp_path] * 600)
    monkeypatch.setattr(CostEstimate, "hours", 15.0)  # 90 s each
    monkeypatch.setattr(CostEstimate, "speed", (10.0, "abacus"))
    said = [costs.describe_lists(), costs.describe_testing()]
    assert any(words in text for text in said), said
    assert all(map(is_documented, said)), said
