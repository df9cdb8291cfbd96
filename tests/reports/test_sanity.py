"""What the report says of learning by heart and of the STFT baseline."""

import re
from pathlib import Path

import pytest

from separation.config.load import load_conf
from separation.environment import format_command
from separation.experiment.experiment import Experiment
from separation.experiment.folder import DataFolder, ExperimentFolder
from separation.experiment.roots import CorpusRoots
from separation.files import hash_value, write_json
from separation.reports import training_report
from separation.reports.sanity import tell_baseline, tell_overfit
from separation.reports.training_report import format_results, tell_doubts
from tests.conftest import ROOT


def make_summary(mean: float, half: float = 0.2, test_print: str = "aa") -> dict:
    si_sdri = {"mean": mean, "low": mean - half, "high": mean + half}
    groups = {"n_mixtures": 9, "si_sdri": si_sdri, "sdri": si_sdri}
    about = {"test": test_print, "audio_test": "bb", "checkpoint_sha256": "cc"}
    return {"about": about, "scores": {"test": {"model": {"all": groups}}}}


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    conf = load_conf(ROOT, "folder/ConvTasNet", [])
    folder = tmp_path / "exp" / "folder" / "ConvTasNet" / "default"
    folder.mkdir(parents=True)
    data = tmp_path / "data" / "folder"
    (folder / "curves.csv").write_text("epoch,step,elapsed_s\n0,70,60.0\n")
    roots = CorpusRoots(given={"speech": Path()}, shared=data, data=data)
    return Experiment(
        recipe="folder/ConvTasNet",
        conf=conf,
        data=DataFolder(data, shared=data),
        folder=ExperimentFolder(folder),
        roots=roots,
    )


def add_baseline(experiment: Experiment, tag: str, summary: dict) -> None:
    folder = experiment.folder.path.parents[1] / "STFTMask" / tag
    write_json(folder / "evaluation" / "summary.json", summary)
    (folder / "curves.csv").write_text("epoch,step,elapsed_s\n0,55,60.0\n")


def test_overfit_verdict_is_told_or_its_command(experiment):
    assert f"`{format_command('overfit', '--recipe', 'folder/ConvTasNet')}`" in tell_overfit(
        experiment
    )
    model = hash_value(experiment.conf.section("model"))
    verdict = {"passed": True, "sentence": "10 training mixtures reach 21 dB.", "model": model}
    write_json(experiment.folder.overfit, verdict)
    told = "Learning by heart passed: 10 training mixtures reach 21 dB."
    assert tell_overfit(experiment) == told
    write_json(experiment.folder.overfit, verdict | {"passed": False})
    assert "FAILED, so no score here can be trusted" in tell_overfit(experiment)
    write_json(experiment.folder.overfit, verdict | {"model": "other"})
    assert "with another model" in tell_overfit(experiment)


def test_baseline_is_asked_for_where_there_is_none(experiment):
    told = tell_baseline(experiment, make_summary(5.0))
    assert "`bash run.sh --recipe folder/STFTMask` makes it" in told
    add_baseline(experiment, "default", make_summary(4.0, test_print="other mixtures"))
    assert tell_baseline(experiment, make_summary(5.0)) == told


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (5.0, 4.0, "difference 1.00 dB: ConvTasNet clearly beats it"),
        (5.0, 4.7, "difference 0.30 dB: ConvTasNet does not clearly beat it, so something may be"),
        (3.0, 4.0, r"difference -1.00 dB: .*both trained as long \(70 and 55 steps\)"),
    ],
)
def test_baseline_is_compared_by_intervals(experiment, ours, theirs, message):
    add_baseline(experiment, "default", make_summary(theirs))
    add_baseline(experiment, "worse", make_summary(theirs - 3))
    told = tell_baseline(experiment, make_summary(ours))
    assert re.search(message, told), told
    assert f"{theirs:.2f} [{theirs - 0.2:.2f}, {theirs + 0.2:.2f}] dB" in told
    assert "STFTMask (default:" in told


def test_results_hold_both_sentences(experiment, monkeypatch):
    add_baseline(experiment, "default", make_summary(4.0))
    monkeypatch.setattr(training_report, "compare_fingerprints", lambda _: {})
    run = dict.fromkeys(("commit", "seed", "conf_fingerprint", "device", "python"), "x")
    run |= {"recipe": "folder/ConvTasNet", "fingerprints": {"test": "aa"}, "versions": {}}
    text = format_results(experiment, make_summary(5.0), run)
    for sentence in tell_doubts(experiment, make_summary(5.0)):
        assert f"\n\n{sentence}\n" in text
    assert "clearly beats it" in text and "not tried" in text
