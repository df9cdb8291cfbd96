"""Whether an experiment's mixture tables are those that its data set publishes."""

from separation.environment import ROOT
from separation.experiment.experiment import Experiment
from separation.files import hash_text_file, read_json


def read_fingerprints(experiment: Experiment) -> dict[str, str]:
    """Fingerprint of each mixture table."""
    splits = experiment.listed_splits
    return {split: hash_text_file(experiment.data.mixture_table(split)) for split in splits}


def compare_fingerprints(experiment: Experiment) -> dict[str, str]:
    """For each split a word on whether its list is that of egs/MIX/fingerprints.json.

    Empty where the data set has no published lists.
    """
    path = ROOT / "egs" / experiment.recipe.split("/")[0] / "fingerprints.json"
    published = read_json(path)
    if published is None or experiment.kind not in published:
        return {}
    known = published[experiment.kind]
    return {
        split: _compare(fingerprint, known.get(split))
        for split, fingerprint in read_fingerprints(experiment).items()
        if split != "train" or not experiment.has_own_data
    }


def _compare(fingerprint: str, published: str | None) -> str:
    if published is None:
        return "no fingerprint published yet"
    return "as published" if fingerprint == published else f"not the published {published}"
