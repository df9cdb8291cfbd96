"""What the report says of the overfit test and of the STFT baseline."""

import re
from pathlib import Path

import pytest

from separation.config.load import load_conf
from separation.environment import format_command
from separation.evaluation.headline import measure_headline
from separation.evaluation.intervals import MeanInterval
from separation.evaluation.score_rows import ScoreRow, format_scores_csv
from separation.evaluation.summary import GroupSummary, Summary, write_summary
from separation.experiment.experiment import Experiment
from separation.experiment.folder import DataFolder, ExperimentFolder
from separation.experiment.roots import CorpusRoots
from separation.files import hash_value, write_json, write_text
from separation.reports import results
from separation.reports.results import format_results
from separation.reports.sanity import (
    describe_baseline,
    describe_overfit,
    list_sanity_notes,
)
from separation.reports.words import Words
from tests.conftest import ROOT


def make_summary(mean: float, half: float = 0.2, test_print: str = "aa") -> Summary:
    scores = MeanInterval(9, mean, mean - half, mean + half)
    means = {"si_sdri": scores, "sdri": scores}
    whole = GroupSummary(n_mixtures=9, n_scored=9, problems={}, means=means)
    about = {"test": test_print, "audio_test": "bb", "checkpoint_sha256": "cc"}
    return Summary(about, {"test": {"model": {"all": whole}}})


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    return make_experiment(tmp_path)


def make_experiment(tmp_path: Path) -> Experiment:
    """One that is trained, as far as its files say."""
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


@pytest.mark.parametrize(
    ("n_speakers", "said"),
    [(3, "only 3 speakers: a score of these people"), (9, "it is a rough one"), (12, " draws sp")],
)
def test_a_score_of_few_people_is_called_that(n_speakers, said):
    people = [f"voice{k}" for k in range(n_speakers)]
    rows = [
        ScoreRow(mixture_id=f"{a}{b}", speakers=(a, b), values={"si_sdri": len(a + b) / 9})
        for a in people
        for b in people
        if a < b
    ]
    headline = measure_headline(rows, "si_sdri")
    assert said in Words().describe_drawn(headline)
    assert ("only" in Words().describe_drawn(headline)) == (n_speakers < 10)
    assert (headline.interval.low is None) == (n_speakers == 3)


def test_an_interval_of_unknown_speakers_draws_mixtures():
    rows = [ScoreRow(mixture_id=f"m{k}", values={"si_sdri": float(k)}) for k in range(20)]
    headline = measure_headline(rows, "si_sdri")
    assert headline.sign == 1 and not headline.draws_speakers and headline.n_mixtures == 20
    assert "speakers are not known" in Words().describe_drawn(headline)
