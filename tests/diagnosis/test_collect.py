"""From files to figures: sizes, spectra, sums, other tools' results; torch is not imported."""

import subprocess
import sys

import numpy as np
import pytest

from separation.config.load import load_conf
from separation.diagnosis.collect import count_parameters, measure_model, read_validation
from separation.diagnosis.compared import read_compared
from separation.diagnosis.signals import average_power, correlate, find_edge
from separation.errors import UserError
from separation.experiment.folder import ExperimentFolder
from separation.files import write_json
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("recipe", "parameters", "field_s"),
    [
        ("librimix/ConvTasNet", 5_050_545, 1.53),
        ("librimix/ConvTasNet_small", 1_472_157, 1.28),
        ("aishell3mix/ConvTasNet_small/800x2s", 1_472_157, 0.64),
    ],
)
def test_sizes_and_fields_are_the_papers(recipe, parameters, field_s):
    conf = load_conf(ROOT, recipe, [])
    assert count_parameters(conf) == parameters
    assert measure_model(conf).field_s == pytest.approx(field_s, abs=0.006)


def test_other_models_are_not_counted():
    assert count_parameters(load_conf(ROOT, "librimix/SepReformer", [])) is None


def make_noise(top_hz: float, rate: int = 16000) -> np.ndarray:
    """A second of noise up to a frequency."""
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=rate))
    spectrum[np.fft.rfftfreq(rate, 1 / rate) > top_hz] = 0
    return np.fft.irfft(spectrum).astype(np.float32)


@pytest.mark.parametrize("top_hz", [3400.0, 4000.0, 7500.0])
def test_the_highest_frequency_is_where_the_spectrum_ends(top_hz):
    assert find_edge(average_power(make_noise(top_hz), 16000), 16000) == pytest.approx(
        top_hz, abs=150
    )


def test_silence_and_short_recordings_have_no_spectrum():
    assert average_power(np.zeros(16000, np.float32), 16000) is None
    assert average_power(make_noise(4000)[:100], 16000) is None


def test_correlation_of_sums():
    a, b = np.random.default_rng(0).normal(size=(2, 8000))
    assert correlate(a + b, a + b) == pytest.approx(1)
    assert abs(correlate(a, b)) < 0.05
    assert correlate(a, np.zeros(8000)) == 0


def test_validation_is_read_and_what_is_none_is_refused(tmp_path):
    checks = {"sum": {"count": 2}, "clipped": {"count": 5}, "short": None}
    report = {"sets": [{"mixtures": 9, "checks": checks}], "mixtures_concerned": 2}
    write_json(tmp_path / "validation.json", report | {"allowed": ["clipped"]})
    figures = read_validation(tmp_path / "validation.json")
    assert (figures.n_mixtures, figures.n_concerned, figures.faults) == (9, 2, (("sum", 2),))
    assert read_validation(None) is None
    write_json(tmp_path / "other.json", {"sets": 1})
    with pytest.raises(UserError, match="validate"):
        read_validation(tmp_path / "other.json")


def test_a_comparison_counts_where_it_holds_this_model(tmp_path):
    folder = ExperimentFolder(tmp_path / "exp")
    folder.evaluation.mkdir(parents=True)
    write_json(folder.summary, {"about": {"checkpoint_sha256": "ab" * 8}, "scores": {}})
    published = {"scores": {"si_sdri": 14.8}, "set": "Libri2Mix"}
    means = {"m": {"all": {"si_sdri": {"mean": 8.0}}}, "p": {"all": {"si_sdri": {"mean": 11.0}}}}
    report = {
        "models": [
            {"name": "m", "sha256": "ab" * 32, "published": None},
            {"name": "p", "sha256": "cd" * 32, "published": published},
        ],
        "sets": [
            {
                "name": "t.csv",
                "standard": [],
                "estimators": means,
                "paired": [{"a": "p", "b": "m", "n": 9, "mean": 3.0, "low": 2.5, "high": 3.5}],
            }
        ],
    }
    write_json(tmp_path / "comparison.json", report)
    (own,) = read_compared([tmp_path / "comparison.json"], folder)
    assert (own.ours, own.theirs, own.published_db, own.is_published_set) == (
        8.0,
        11.0,
        14.8,
        False,
    )
    assert (own.difference.mean, own.difference.low, own.difference.high) == (-3.0, -3.5, -2.5)
    write_json(folder.summary, {"about": {"checkpoint_sha256": "ef" * 8}, "scores": {}})
    assert read_compared([tmp_path / "comparison.json"], folder) == ()


def test_a_recipe_is_diagnosed_without_torch():
    code = (
        "import sys; from separation.cli.main import main; "
        "main(['diagnose', '--recipe', 'librimix/ConvTasNet', '--exp', '/nowhere']); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr
