"""Sanity notes of a report: the overfit test, and the comparison with the STFT baseline."""

from typing import NamedTuple

from separation.corpora.splits import FEW_SPEAKERS
from separation.environment import ROOT, format_command
from separation.evaluation.summary import Summary
from separation.experiment.experiment import Experiment
from separation.experiment.folder import BASELINE, ExperimentFolder
from separation.files import hash_value, read_json
from separation.mixtures.table import read_mixture_table


class Scores(NamedTuple):
    """Mean SI-SDRi in dB with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}] dB"


def list_sanity_notes(experiment: Experiment, summary: Summary) -> list[str]:
    """What speaks for or against trusting the scores, one sentence each."""
    notes = [describe_overfit(experiment), describe_baseline(experiment, summary)]
    notes += [describe_speakers(experiment, split) for split in experiment.test_splits]
    return [note for note in notes if note]


def describe_speakers(experiment: Experiment, split: str) -> str:
    """One sentence where a test set is of so few people that its score says little of others."""
    table = experiment.data.mixture_table(split)
    rows = read_mixture_table(table, allow_repeats=True) if table.is_file() else []
    speakers = {source.speaker for row in rows for source in row.sources} - {""}
    if not 0 < len(speakers) < FEW_SPEAKERS:
        return ""
    return (
        f"{split} has {len(speakers)} speakers: its score is of these people, and may be far off "
        "for others."
    )


def describe_overfit(experiment: Experiment) -> str:
    """One sentence on whether this model and training can overfit to ten mixtures."""
    tag = experiment.folder.tag
    words = [] if tag == "default" else ["--tag", tag]
    command = format_command("overfit", "--recipe", experiment.recipe, *words)
    verdict = read_json(experiment.folder.overfit)
    if verdict is None:
        return f"Overfitting to ten mixtures was not tried: `{command}` does (and its options)."
    if verdict["model"] != hash_value(experiment.conf.section("model")):
        return f"Overfitting was tried with another model: run `{command}` again."
    word = "passed" if verdict["passed"] else "FAILED, so no score here can be trusted"
    return f"Overfitting to a few mixtures {word}: {verdict['sentence']}"


def describe_baseline(experiment: Experiment, summary: Summary) -> str:
    """One sentence on whether the model clearly beats the same network over a fixed STFT.

    Clearly: the 95 % intervals of the two mean SI-SDRi lie apart. The baseline is the best
    ``exp/MIX/STFTMask/*`` that was scored on the very same test mixtures. Empty where there is
    nothing to say: this is the baseline itself, or its data set has none.
    """
    mix, split = experiment.recipe.split("/")[0], experiment.test_splits[-1]
    ours = _find_scores(summary, split)
    is_baseline = experiment.conf.model.name == BASELINE
    if ours is None or is_baseline or not (ROOT / "egs" / mix / BASELINE).is_dir():
        return ""
    baseline = _find_baseline(experiment, summary, split)
    if baseline is None:
        return (
            f"No {BASELINE} scored on the same mixtures to compare with: "
            f"`bash run.sh --recipe {mix}/{BASELINE}` makes it."
        )
    return _compare(experiment, split, ours, *baseline)


def _compare(
    experiment: Experiment,
    split: str,
    ours: Scores,
    baseline: ExperimentFolder,
    theirs: Scores,
) -> str:
    model = experiment.conf.model.name
    figures = (
        f"On {split}, SI-SDRi: {model} {ours}, {BASELINE} ({baseline.tag}: the same network over a "
        f"fixed STFT) {theirs}; difference {ours.mean - theirs.mean:.2f} dB"
    )
    if ours.low > theirs.high:
        return f"{figures}: {model} clearly beats it, as it should."
    return (
        f"{figures}: {model} does not clearly beat it, so something may be wrong. Check that both "
        f"trained as long ({_count_steps(experiment.folder)} and {_count_steps(baseline)} steps), "
        "that the training loss was still falling, kernel size and stride, and "
        f"`{format_command('overfit', '--recipe', experiment.recipe)}`."
    )


def _find_baseline(
    experiment: Experiment, summary: Summary, split: str
) -> tuple[ExperimentFolder, Scores] | None:
    """The baseline of the highest mean whose test table and rendered audio are the same."""
    same = {name: summary.about.get(name) for name in (split, f"audio_{split}")}
    comparable = []
    for folder in experiment.folder.list_baselines():
        other = folder.read_summary() or Summary({}, {})
        scores = _find_scores(other, split)
        if scores and all(other.about.get(name) == value for name, value in same.items()):
            comparable.append((folder, scores))
    return max(comparable, key=lambda pair: pair[1].mean, default=None)


def _find_scores(summary: Summary, split: str) -> Scores | None:
    """The model's; None without an interval, as one mixture compares nothing."""
    own = summary.find_mean(split, "model", "si_sdri")
    if own is None or own.mean is None or own.low is None or own.high is None:
        return None
    return Scores(own.mean, own.low, own.high)


def _count_steps(folder: ExperimentFolder) -> str:
    curve = folder.read_curves()
    return curve[-1]["step"] if curve else "unknown"
