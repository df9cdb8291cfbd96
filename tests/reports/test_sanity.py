"""What the report says of the overfit test and of the STFT baseline."""

import re
from pathlib import Path

import pytest

from separation.config.load import load_conf
from separation.environment import format_command
from separation.evaluation.intervals import MeanInterval
from separation.evaluation.score_rows import ScoreRow, format_scores_csv
from separation.evaluation.summary import GroupSummary, Summary, write_summary
from separation.experiment.experiment import Experiment
from separation.experiment.folder import DataFolder, ExperimentFolder
from separation.experiment.open import open_experiment
from separation.experiment.roots import CorpusRoots
from separation.files import hash_value, write_json, write_text
from separation.mixtures.table import SourceRef, make_row, write_mixture_table
from separation.reports import results
from separation.reports.results import format_results
from separation.reports.sanity import (
    describe_baseline,
    describe_overfit,
    describe_speakers,
    list_sanity_notes,
)
from tests.conftest import ROOT


def make_summary(mean: float, half: float = 0.2, test_print: str = "aa") -> Summary:
    scores = MeanInterval(9, mean, mean - half, mean + half)
    means = {"si_sdri": scores, "sdri": scores}
    whole = GroupSummary(n_mixtures=9, n_scored=9, problems={}, means=means)
    about = {"test": test_print, "audio_test": "bb", "checkpoint_sha256": "cc"}
    return Summary(about, {"test": {"model": {"all": whole}}})


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


def add_scores(folder: ExperimentFolder, summary: Summary) -> None:
    """A table whose mixtures lie 0.2 dB about the summary's mean, of speakers whom nobody knows."""
    mean = summary.find_mean("test", "model", "si_sdri").mean
    rows = [
        ScoreRow(mixture_id=f"m{k}", values={"si_sdri": mean + 0.2 * (-1) ** k}) for k in range(8)
    ]
    write_text(folder.scores("test", "model"), format_scores_csv(rows))


def add_baseline(experiment: Experiment, tag: str, summary: Summary) -> None:
    folder = ExperimentFolder(experiment.folder.path.parents[1] / "STFTMask" / tag)
    write_summary(folder.summary, summary)
    add_scores(folder, summary)
    folder.curves.write_text("epoch,step,elapsed_s\n0,55,60.0\n")


def test_overfit_verdict_is_stated_or_its_command(experiment):
    assert f"`{format_command('overfit', '--recipe', 'folder/ConvTasNet')}`" in describe_overfit(
        experiment
    )
    model = hash_value(experiment.conf.section("model"))
    verdict = {"passed": True, "sentence": "10 training mixtures reach 21 dB.", "model": model}
    write_json(experiment.folder.overfit, verdict)
    passed = "Overfitting to a few mixtures passed: 10 training mixtures reach 21 dB."
    assert describe_overfit(experiment) == passed
    write_json(experiment.folder.overfit, verdict | {"passed": False})
    assert "FAILED, so no score here can be trusted" in describe_overfit(experiment)
    write_json(experiment.folder.overfit, verdict | {"model": "other"})
    assert "with another model" in describe_overfit(experiment)


def test_baseline_is_asked_for_where_there_is_none(experiment):
    note = describe_baseline(experiment, make_summary(5.0))
    assert "`bash run.sh --recipe folder/STFTMask` makes it" in note
    add_baseline(experiment, "default", make_summary(4.0, test_print="other mixtures"))
    assert describe_baseline(experiment, make_summary(5.0)) == note


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (5.0, 4.0, r"difference 1.00 \[1.00, 1.00\] dB: ConvTasNet clearly beats it"),
        (4.0, 4.0, r"difference 0.00 \[0.00, 0.00\] dB: ConvTasNet does not clearly beat it, so"),
        (3.0, 4.0, r"difference -1.00 \[.*both trained as long \(70 and 55 steps\)"),
    ],
)
def test_baseline_is_compared_by_the_difference_on_the_same_mixtures(
    experiment, ours, theirs, message
):
    add_baseline(experiment, "default", make_summary(theirs))
    add_baseline(experiment, "worse", make_summary(theirs - 3))
    add_scores(experiment.folder, make_summary(ours))
    note = describe_baseline(experiment, make_summary(ours))
    assert re.search(message, note), note
    assert re.search(rf"STFTMask \(default: .*\) {theirs:.2f} \[", note)


def test_a_difference_of_few_people_beats_nothing(experiment):
    """1,000 mixtures of three speakers: an interval over mixtures would call it clear."""
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    add_baseline(experiment, "default", make_summary(4.0))
    for folder, gain in ((experiment.folder, 5.0), (experiment.folder.list_baselines()[0], 4.0)):
        rows = [
            ScoreRow(mixture_id=f"m{k}", speakers=pairs[k % 3], values={"si_sdri": gain + k % 3})
            for k in range(1000)
        ]
        write_text(folder.scores("test", "model"), format_scores_csv(rows))
    note = describe_baseline(experiment, make_summary(5.0))
    assert "difference 1.00 (no interval) dB: ConvTasNet does not clearly beat it" in note


def test_results_hold_both_sentences(experiment, monkeypatch):
    add_baseline(experiment, "default", make_summary(4.0))
    add_scores(experiment.folder, make_summary(5.0))
    monkeypatch.setattr(results, "compare_fingerprints", lambda _: {})
    run = dict.fromkeys(("commit", "seed", "conf_fingerprint", "device", "python"), "x")
    run |= {"recipe": "folder/ConvTasNet", "fingerprints": {"test": "aa"}, "versions": {}}
    text = format_results(experiment, make_summary(5.0), run)
    for sentence in list_sanity_notes(experiment, make_summary(5.0)):
        assert f"\n\n{sentence}\n" in text
    assert "clearly beats it" in text and "not tried" in text


@pytest.mark.parametrize(("n_speakers", "said"), [(3, "test has 3 speakers: "), (20, "")])
def test_a_score_of_few_people_is_called_that(n_speakers, said, tmp_path):
    experiment = open_experiment("folder/ConvTasNet", corpora=[f"speech={tmp_path}"], data=tmp_path)
    sources = [SourceRef(paths=(f"{k}.wav",), gain=1.0, speaker=str(k)) for k in range(n_speakers)]
    rows = [make_row(f"m{k}", [sources[0], source]) for k, source in enumerate(sources[1:])]
    assert describe_speakers(experiment, "test") == ""  # there is no table yet
    write_mixture_table(experiment.data.mixture_table("test"), rows)
    assert describe_speakers(experiment, "test").startswith(said)
    assert bool(describe_speakers(experiment, "test")) == bool(said)
