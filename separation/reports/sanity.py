"""Sanity notes of a report: the overfit test, and the comparison with the STFT baseline."""

from itertools import pairwise

from separation.environment import ROOT, format_command, format_run
from separation.evaluation.headline import measure_difference, measure_headline
from separation.evaluation.score_rows import ScoreRow, read_scores
from separation.evaluation.summary import Summary, format_interval
from separation.experiment.experiment import Experiment
from separation.experiment.folder import BASELINE, ExperimentFolder
from separation.files import hash_value, read_json
from separation.reports.words import Words

METRIC = "si_sdri"


def list_sanity_notes(experiment: Experiment, summary: Summary) -> list[str]:
    """What speaks for or against trusting the scores, one sentence each."""
    notes = [describe_overfit(experiment), describe_baseline(experiment, summary)]
    return [note for note in notes if note]


def _choose_words(experiment: Experiment) -> Words:
    return Words(experiment.conf.report.language)


def describe_overfit(experiment: Experiment) -> str:
    """One sentence on whether this model and training can overfit to ten mixtures."""
    words = _choose_words(experiment)
    command = format_command("overfit", *experiment.list_options())
    verdict = read_json(experiment.folder.overfit)
    if verdict is None:
        return words.say("overfit.untried", command=command)
    if verdict["model"] != hash_value(experiment.conf.section("model")):
        return words.say("overfit.other", command=command)
    key = "overfit.passed" if verdict["passed"] else "overfit.failed"
    return words.say(key, sentence=verdict["sentence"])


def list_baseline_options(experiment: Experiment) -> list[str]:
    """Options of the baseline that takes this experiment's data, without keys of its model."""
    mix = experiment.recipe.split("/")[0]
    rest = experiment.list_options()[2:]
    pairs = [*pairwise(rest)][::2]  # every option has a value
    kept = [pair for pair in pairs if not pair[1].startswith("model.")]
    return ["--recipe", f"{mix}/{BASELINE}", *(word for pair in kept for word in pair)]


def describe_baseline(experiment: Experiment, summary: Summary) -> str:
    """One sentence on whether the model clearly beats the same network over a fixed STFT.

    Clearly: the interval of the difference on the same mixtures, which draws speakers where they
    are known, lies above zero. The baseline is the best ``exp/MIX/STFTMask/*`` that was scored on
    the very same test mixtures. Empty where there is nothing to say: this is the baseline itself,
    or its data set has none.
    """
    mix, split = experiment.recipe.split("/")[0], experiment.test_splits[-1]
    mean = summary.find_mean(split, "model", METRIC)
    is_baseline = experiment.conf.model.name == BASELINE
    if (
        mean is None
        or mean.low is None
        or is_baseline
        or not (ROOT / "egs" / mix / BASELINE).is_dir()
    ):
        return ""
    baseline = _find_baseline(experiment, summary, split)
    if baseline is None:
        command = format_run(*list_baseline_options(experiment))
        return _choose_words(experiment).say("baseline.none", baseline=BASELINE, command=command)
    return _compare(experiment, split, baseline)


def _compare(experiment: Experiment, split: str, baseline: ExperimentFolder) -> str:
    words, model = _choose_words(experiment), experiment.conf.model.name
    ours, theirs = (_read_rows(own, split) for own in (experiment.folder, baseline))
    difference = measure_difference(ours, theirs, METRIC)
    figures = words.say(
        "baseline.figures",
        split=split,
        model=model,
        ours=_format_mean(ours),
        baseline=BASELINE,
        tag=baseline.tag,
        theirs=_format_mean(theirs),
        difference=format_interval(difference.interval),
    )
    if difference.sign > 0:
        return words.say("baseline.beats", figures=figures, model=model)
    return words.say(
        "baseline.open",
        figures=figures,
        model=model,
        ours=_count_steps(experiment.folder, words),
        theirs=_count_steps(baseline, words),
        command=format_command("overfit", *experiment.list_options()),
    )


def _read_rows(folder: ExperimentFolder, split: str) -> list[ScoreRow]:
    return read_scores(folder.scores(split, "model"))


def _format_mean(rows: list[ScoreRow]) -> str:
    return f"{format_interval(measure_headline(rows, METRIC).interval)} dB"


def _find_baseline(experiment: Experiment, summary: Summary, split: str) -> ExperimentFolder | None:
    """The baseline of the highest mean whose test table and rendered audio are the same."""
    same = {name: summary.about.get(name) for name in (split, f"audio_{split}")}
    comparable = []
    for folder in experiment.folder.list_baselines():
        other = folder.read_summary() or Summary({}, {})
        mean = other.find_mean(split, "model", METRIC)
        is_same = all(other.about.get(name) == value for name, value in same.items())
        if mean and mean.mean is not None and is_same and folder.scores(split, "model").is_file():
            comparable.append((mean.mean, folder))
    return max(comparable, key=lambda pair: pair[0], default=(0.0, None))[1]


def _count_steps(folder: ExperimentFolder, words: Words) -> str:
    curve = folder.read_curves()
    return curve[-1]["step"] if curve else words.say("steps.unknown")
