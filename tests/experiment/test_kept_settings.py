"""What a call sets of splits is kept or refused, also on one's own recordings with any recipe."""

from pathlib import Path

import pytest

from separation.config.recipes import list_recipes
from separation.errors import UserError
from separation.experiment.experiment import Experiment
from separation.experiment.open import open_experiment
from separation.stages.preflight import run_preflight
from tests.conftest import ROOT
from tests.support.inputs_page import is_documented

DATA_SETS = sorted({recipe.split("/")[0] for recipe in list_recipes(ROOT)})


def open_with(recipe: str, folder: Path, *overrides: str, corpus: str = "speech") -> Experiment:
    return open_experiment(
        recipe, overrides, corpora=[f"{corpus}={folder}"], data=folder / "d", exp=folder / "e"
    )


def refusal(recipe: str, folder: Path, *overrides: str, corpus: str = "speech") -> str:
    with pytest.raises(UserError) as caught:
        open_with(recipe, folder, *overrides, corpus=corpus)
    assert is_documented(str(caught.value)), str(caught.value)
    return str(caught.value)


def name_recipe(mix: str) -> str:
    return next(recipe for recipe in list_recipes(ROOT) if recipe.startswith(f"{mix}/"))


@pytest.mark.parametrize("mix", DATA_SETS)
def test_every_recipe_keeps_the_splits_that_are_asked_for(mix, tmp_path):
    """They were reset without a word, and the test speakers landed in training."""
    recipe = name_recipe(mix)
    kept = open_with(recipe, tmp_path, "splits.by=subset").conf.splits
    assert kept.by == "subset"
    asked = ("splits.by=prompts", "splits.unseen_speakers=[ann, bob]")
    assert open_with(recipe, tmp_path, *asked).conf.splits.unseen_speakers == ["ann", "bob"]
    plain = open_with(recipe, tmp_path).conf.splits
    assert plain.unseen_speakers == [] and plain.by != "subset"  # the recipe's own are not theirs


def test_speakers_that_would_be_ignored_are_refused(tmp_path):
    asked = "splits.unseen_speakers=[ann]"
    assert "divides otherwise (speakers)" in refusal("folder/ConvTasNet", tmp_path, asked)
    refusal("librimix/ConvTasNet", tmp_path, asked)
    refusal("librimix/ConvTasNet", tmp_path, asked, corpus="mixtures")
    refusal("librimix/ConvTasNet", tmp_path, "splits.by=subset", corpus="mixtures")
    refusal("librimix/ConvTasNet", tmp_path, "splits.by=speakers", corpus="librispeech")


@pytest.mark.parametrize(
    "key",
    ["speaker_level=2", "speaker_pattern=x", "allow_commands=true", "archive_rate=8000"],
)
def test_keys_of_ones_own_folders_are_refused_with_other_corpora(key, tmp_path):
    refusal("librimix/ConvTasNet", tmp_path, f"corpus.{key}", corpus="librispeech")
    refusal("librimix/ConvTasNet", tmp_path, f"corpus.{key}", corpus="mixtures")
    assert (
        open_with("librimix/ConvTasNet", tmp_path, f"corpus.{key}").conf.corpus.source == "speech"
    )


def test_published_lists_of_another_corpus_are_refused(tmp_path):
    refusal("librimix/ConvTasNet", tmp_path, "metadata.draw=false")
    refusal("librimix/ConvTasNet", tmp_path, "corpus.source=aishell3")


@pytest.mark.parametrize("override", ["splits.by=subset", "splits.unseen_speakers=[ann]"])
def test_splits_that_cannot_be_are_refused_in_stage_0(override, tmp_path, speech_folder):
    """Without decoding anything."""
    experiment = open_experiment(
        "mini/ConvTasNet",
        [override],
        corpora=[f"speech={speech_folder}"],
        data=tmp_path,
        exp=tmp_path,
    )
    experiment.data.path.mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        run_preflight(experiment)
    assert is_documented(str(caught.value)), str(caught.value)
