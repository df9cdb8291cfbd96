"""Whose a published figure is, and what of it is not alike."""

import dataclasses

import pytest

from separation.diagnosis.comparison import check_comparison, find_scores
from separation.diagnosis.diagnose import diagnose_figures
from separation.diagnosis.figures import DataFigures
from tests.diagnosis.test_checks import FLAT, GOOD, GOOD_DATA, SHORT_MODEL, make_test


def list_shown(figures, train: str = "") -> list[str]:
    return [own.code for own in check_comparison(figures, train).evidence]


def test_13_db_is_the_small_configuration_on_wsj0_2mix():
    heard = dataclasses.replace(GOOD_DATA, mix="aishell3mix", sample_rate=16000)
    figures = dataclasses.replace(GOOD, model=SHORT_MODEL, data=heard, against_db=13.0)
    shown = list_shown(figures)
    assert shown[:2] == ["published_small", "published_best"]
    assert {"other_set", "other_rate", "own_dev", "own_test"} <= set(shown)
    finding = next(own for own in diagnose_figures(figures).findings if "13.0" in own.title)
    for text in ("13.0", "SI-SDRi", "small configuration", "WSJ0-2mix", "8 kHz", "SI-SDR"):
        assert text in finding.explanation
    notes = [own.code for own in diagnose_figures(figures).findings if own.kind == "note"]
    assert notes[:1] == ["comparison_small"]


def test_validation_is_told_from_test_and_si_sdr_from_si_sdri():
    figures = dataclasses.replace(GOOD, tests={"test": make_test(11.3)})
    values = {own.label: own.value for own in diagnose_figures(figures).findings[1].evidence}
    assert "no test set" in values["here, validation"]
    assert "SI-SDR 11.50 dB, SI-SDRi 11.50 dB" in values["here, validation"]
    assert "kind of figure that compares" in values["here, test"]


def test_the_small_configuration_is_not_set_beside_the_best():
    figures = dataclasses.replace(GOOD, model=SHORT_MODEL, against_db=15.3)
    assert "other_size_small" in list_shown(figures)
    heard = dataclasses.replace(GOOD_DATA, mix="wsj0mix", origin="published")
    assert "other_size_best" in list_shown(
        dataclasses.replace(GOOD, data=heard, against_db=13.0), "tr"
    )


LIBRI = DataFigures(mix="librimix", origin="published", speakers=251, trained=1_000_000)


def test_train_100_is_not_set_beside_train_360():
    figures = dataclasses.replace(GOOD, data=LIBRI)
    assert check_comparison(figures, "train-100").code == "comparison_fits"
    assert check_comparison(figures, "train-360").values["score"] == 14.8
    named = dataclasses.replace(figures, against_db=14.8)
    assert "other_train" in list_shown(named, "train-100")


def test_8_khz_is_not_set_beside_16():
    at_16 = dataclasses.replace(LIBRI, sample_rate=16000)
    assert "other_rate" in list_shown(
        dataclasses.replace(GOOD, data=at_16, against_db=14.8), "train-360"
    )
    assert find_scores(GOOD.model, at_16, "train-360", None)[0].si_sdri_db == 15.2


def test_noise_and_other_models_are_told_apart():
    noisy = dataclasses.replace(LIBRI, noisy=True)
    figures = dataclasses.replace(GOOD, data=noisy, against_db=14.8)
    assert "other_noise_ours" in list_shown(figures, "train-360")
    assert "other_noise_theirs" in list_shown(
        dataclasses.replace(GOOD, data=LIBRI, against_db=11.9), "train-360"
    )
    named = dataclasses.replace(GOOD, data=LIBRI, against_db=19.7)
    assert "other_model" in list_shown(named, "train-100")


def test_a_figure_of_nobody_is_said_to_be_unknown():
    figures = dataclasses.replace(GOOD, against_db=17.77, training=FLAT)
    assert check_comparison(figures).code == "comparison_unknown"


@pytest.mark.parametrize("n_src", [1, 3])
def test_two_speaker_figures_are_for_two_speakers(n_src):
    figures = dataclasses.replace(GOOD, data=dataclasses.replace(GOOD_DATA, n_src=n_src))
    assert check_comparison(figures) is None
