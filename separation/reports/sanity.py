"""What the report says to doubt a result with: learning by heart, and the STFT baseline."""

from typing import Any

from separation.environment import ROOT, format_command
from separation.experiment.experiment import Experiment
from separation.experiment.folder import BASELINE, ExperimentFolder
from separation.files import hash_value, read_json


def tell_overfit(experiment: Experiment) -> str:
    """One sentence on whether this model and training can learn ten mixtures by heart."""
    tag = experiment.folder.tag
    words = [] if tag == "default" else ["--tag", tag]
    command = format_command("overfit", "--recipe", experiment.recipe, *words)
    verdict = read_json(experiment.folder.overfit)
    if verdict is None:
        return f"Learning ten mixtures by heart was not tried: `{command}` does (and its options)."
    if verdict["model"] != hash_value(experiment.conf.section("model")):
        return f"Learning by heart was tried with another model: call `{command}` again."
    word = "passed" if verdict["passed"] else "FAILED, so no score here can be trusted"
    return f"Learning by heart {word}: {verdict['sentence']}"


def tell_baseline(experiment: Experiment, summary: dict[str, Any]) -> str:
    """One sentence on whether the model clearly beats the same network over a fixed STFT.

    Clearly: the 95 % intervals of the two mean SI-SDRi lie apart. The baseline is the best
    ``exp/MIX/STFTMask/*`` that was scored on the very same test mixtures. Empty where there is
    nothing to say: this is the baseline itself, or its data set has none.
    """
    mix = experiment.recipe.split("/")[0]
    model = experiment.conf.model.name
    if model == BASELINE or not (ROOT / "egs" / mix / BASELINE).is_dir():
        return ""
    split = experiment.test_splits[-1]
    ours = _find_scores(summary, split)
    if ours is None:
        return ""
    found = _find_baseline(experiment, summary, split)
    if found is None:
        return (
            f"No {BASELINE} scored on the same mixtures to compare with: "
            f"`bash run.sh --recipe {mix}/{BASELINE}` makes it."
        )
    folder, theirs = found
    gap = ours["mean"] - theirs["mean"]
    told = (
        f"On {split}, SI-SDRi: {model} {_format(ours)} dB, {BASELINE} ({folder.tag}: the same "
        f"network over a fixed STFT) {_format(theirs)} dB; difference {gap:.2f} dB"
    )
    if ours["low"] > theirs["high"]:
        return f"{told}: {model} clearly beats it, as it should."
    return (
        f"{told}: {model} does not clearly beat it, so something may be wrong. Check that both "
        f"trained as long ({_count_steps(experiment.folder)} and {_count_steps(folder)} steps), "
        "that the training loss was still falling, kernel size and stride, and "
        f"`{format_command('overfit', '--recipe', experiment.recipe)}`."
    )


def _find_baseline(
    experiment: Experiment, summary: dict[str, Any], split: str
) -> tuple[ExperimentFolder, dict[str, float]] | None:
    """The baseline of the highest mean whose test table and rendered audio are the same."""
    same = {name: summary["about"].get(name) for name in (split, f"audio_{split}")}
    found = []
    for folder in experiment.folder.list_baselines():
        other = folder.read_summary() or {"about": {}, "scores": {}}
        scores = _find_scores(other, split)
        if scores and all(other["about"].get(name) == value for name, value in same.items()):
            found.append((folder, scores))
    return max(found, key=lambda pair: pair[1]["mean"], default=None)


def _find_scores(summary: dict[str, Any], split: str) -> dict[str, float] | None:
    model = summary["scores"].get(split, {}).get("model")
    scores = model["all"].get("si_sdri") if model else None
    return scores if scores and scores["low"] is not None else None  # one mixture compares nothing


def _format(scores: dict[str, float]) -> str:
    return f"{scores['mean']:.2f} [{scores['low']:.2f}, {scores['high']:.2f}]"


def _count_steps(folder: ExperimentFolder) -> str:
    curve = folder.read_curves()
    return curve[-1]["step"] if curve else "unknown"
