"""Runs with one known fault each: the first finding is that fault; a sound run has none.

``diverged``, ``permuted``, ``rate``, ``overfitted`` and ``few`` are real trainings on real speech,
made by benchmarks/diagnosis/plant.py; ``recorded`` and ``long`` are longer ones of this project.
``field`` and ``stopped`` are made here: ``recorded`` and ``long`` with one thing changed.
"""

import importlib
import shutil
from pathlib import Path

import pytest
import yaml

from separation.cli.commands import COMMANDS
from separation.cli.main import build_parser, main, parse_words
from separation.diagnosis.diagnose import diagnose_experiment
from separation.diagnosis.finding import Diagnosis, read_diagnosis
from separation.diagnosis.finished import find_data, open_finished
from separation.experiment.open import open_experiment
from tests.conftest import ROOT

PLANTED = ROOT / "tests" / "data" / "diagnosis"
EXP, DATA = PLANTED / "exp", PLANTED / "data"
RECIPE = "folder/ConvTasNet"


def diagnose(path: Path, language: str = "en") -> Diagnosis:
    return diagnose_experiment(open_finished(path, DATA), language=language)


def change(name: str, target: Path, keys: dict[str, dict], n_epochs: int | None = None) -> Path:
    """A recorded run with other keys, or cut off after some epochs."""
    folder = target / RECIPE / name
    shutil.copytree(EXP / RECIPE / name, folder)
    conf = yaml.safe_load((folder / "conf.yml").read_text(encoding="utf-8"))
    for section, values in keys.items():
        conf[section] |= values
    (folder / "conf.yml").write_text(yaml.safe_dump(conf), encoding="utf-8")
    lines = (folder / "curves.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = lines if n_epochs is None else lines[: 1 + n_epochs]
    (folder / "curves.csv").write_text("".join(kept), encoding="utf-8")
    return folder


def plant_field(target: Path) -> Path:
    """The windows of 8 kHz and few blocks, at 16 kHz."""
    windows = {"kernel_size": 16, "stride": 8, "n_blocks": 6, "n_repeats": 2}
    return change("recorded", target, {"audio": {"sample_rate": 16000}, "model": windows})


def plant_stopped(target: Path) -> Path:
    """Cut off after eight of its sixteen epochs, before its rate fell."""
    return change("long", target, {"training": {"anneal_share": 0.0, "budget_min": 100000.0}}, 8)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("few", "little_data", "5 speakers"),
        ("diverged", "diverged", "learning rate 0.3"),
        ("rate", "band", "not 16 kHz"),
        ("overfitted", "overfitted_fixed", "fixed mixtures"),
        ("long", "planned_short", "too short"),
        ("permuted", "targets", "no parts of their mixtures"),
    ],
)
def test_the_first_finding_is_what_was_planted(name, code, words):
    diagnosis = diagnose(EXP / RECIPE / name)
    assert not diagnosis.healthy
    assert diagnosis.findings[0].code == code, [own.title for own in diagnosis.findings]
    assert words in diagnosis.findings[0].title
    assert diagnosis.findings[0].evidence and diagnosis.findings[0].change


def test_a_short_field_at_16_khz_is_the_first_finding(tmp_path):
    first, *_ = diagnose(plant_field(tmp_path)).findings
    assert (first.code, first.kind) == ("field", "limit")
    assert "0.13 s" in first.title
    assert "253 frames = 2,032 samples = 0.13 s" in first.evidence[0].value
    assert dict(first.change.keys)["model.n_blocks"] == "8"


def test_a_run_that_was_stopped_too_early_is_to_go_on(tmp_path):
    first, *_ = diagnose(plant_stopped(tmp_path)).findings
    assert (first.code, first.kind) == ("stopped_early", "limit")
    assert first.change.keys == (("training.epochs", "32"),)
    assert first.worth.low_db > 1 and first.worth.source == "expected, not measured"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_wrong_with_the_sound_run(language):
    diagnosis = diagnose(EXP / RECIPE / "recorded", language)
    assert diagnosis.healthy
    assert {own.kind for own in diagnosis.findings} == {"note"}
    assert diagnosis.findings[0].code == "healthy"
    assert len(diagnosis.facts) > 10


def test_the_originals_setting():
    """4.66 dB: 800 fixed mixtures of 2 s, 20 speakers, 16 kHz with the windows of 8."""
    experiment = open_experiment("aishell3mix/ConvTasNet_small/800x2s", exp=Path("/nowhere"))
    diagnosis = diagnose_experiment(experiment)
    assert {own.code for own in diagnosis.findings[:2]} == {"little_data", "fixed_mixing"}
    by_code = {own.code: own for own in diagnosis.findings}
    field = by_code["field_rate"]
    assert "0.64 s at 16 kHz" in field.title
    assert "509 frames = 10,200 samples = 0.64 s" in field.evidence[0].value
    assert "31.8 ms" in field.explanation and "31.8" not in field.title + field.evidence[0].value
    comparison = by_code["comparison_small"]
    assert "13.0 dB is the small configuration on WSJ0-2mix at 8 kHz" in comparison.title
    assert "SI-SDRi" in comparison.explanation
    measured = by_code["fixed_mixing"].worth
    assert measured.measured and "rung c against b" in measured.source


def test_the_command_prints_and_writes(tmp_path, capsys):
    words = [str(EXP / RECIPE / "few"), "--data", str(DATA), "--out", str(tmp_path)]
    assert main(["diagnose", *words]) == 0
    printed = capsys.readouterr().out
    assert "1. limit: Too little speech to train on: 5 speakers" in printed
    assert read_diagnosis(tmp_path / "diagnosis.json").findings[0].code == "little_data"
    page = (tmp_path / "diagnosis.html").read_text(encoding="utf-8")
    assert "Too little speech" in page and 'class="plot"' in page
    assert "## 1. Too little speech" in (tmp_path / "diagnosis.md").read_text(encoding="utf-8")


def test_the_pages_sample_is_what_the_command_prints(tmp_path, capsys):
    words = ["--recipe", "aishell3mix/ConvTasNet_small/800x2s", "--against", "13.0"]
    assert main(["diagnose", *words, "--exp", str(tmp_path), "--data", str(tmp_path)]) == 0
    page = (ROOT / "docs" / "diagnose.md").read_text(encoding="utf-8")
    sample = page.partition("--against 13.0\nDiagnosis")[2].partition("\n...")[0]
    assert sample and capsys.readouterr().out.startswith(f"Diagnosis{sample}")


def test_commands_that_findings_name_can_be_typed():
    experiment = open_finished(EXP / RECIPE / "few", DATA)
    words = experiment.list_options()
    module = importlib.import_module(COMMANDS["overfit"].module)
    parser = build_parser("overfit", COMMANDS["overfit"], module)
    values = parse_words(parser, words)
    assert values["recipe"] == RECIPE and values["tag"] == "few"
    conf = open_experiment(RECIPE, values["overrides"], corpora=[f"speech={ROOT}"]).conf
    assert (conf.model, conf.training) == (experiment.conf.model, experiment.conf.training)


def test_tables_of_another_experiment_are_not_taken():
    assert find_data(DATA / "folder", {"dev": "0000000000000000"}) is None
    assert find_data(DATA / "folder", {}) is None
