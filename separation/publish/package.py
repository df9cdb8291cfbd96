"""An experiment's model as the file that Asteroid loads, with what is known of it."""

import re
from pathlib import Path

from separation.evaluation.summary import Summary
from separation.models.published import read_published
from separation.publish.corpora import list_notices, name_dataset
from separation.publish.results import Results

# what Asteroid's published models call our columns
METRIC_NAMES = {"si_sdr": "si_sdr", "si_sdri": "si_sdr_imp", "sdr": "sdr", "sdri": "sdr_imp"}


def suggest_repository(results: Results) -> str:
    """A name after Asteroid's custom: model, data, task and rate; never that of a known one."""
    conf = results.conf
    rate = f"{conf['audio']['sample_rate'] / 1000:g}k"
    task = conf["mixtures"]["task"].replace("_", "")
    model = "_".join(results.run["recipe"].split("/")[1:])
    parts = (model, name_dataset(results.conf, results.run), task, rate)
    name = re.sub(r"[^\w.-]+", "-", "_".join(parts))
    taken = {known.split("/")[-1] for entry in read_published() for known in entry.names}
    return f"{name}_retrained" if name in taken else name


def mean_scores(summary: Summary, test_set: str) -> dict[str, float]:
    """The model's means on a test set, under Asteroid's names; dB."""
    means = summary.scores[test_set]["model"]["all"].means
    known = {name: means[ours].mean for ours, name in METRIC_NAMES.items() if ours in means}
    return {name: mean for name, mean in known.items() if mean is not None}


def write_model(path: Path, results: Results, name: str, author: str, licence: str) -> None:
    """Write what ``asteroid.models.publisher.save_publishable`` makes, as plain values.

    So ``BaseModel.from_pretrained`` loads it under torch >= 2.6 too, which refuses all else.
    The metrics are those of the last test set; ``infos["scores"]`` has those of all.
    """
    from separation.models.asteroid import pack_model, save_tensors
    from separation.models.checkpoint.load import open_model

    model = open_model(str(results.checkpoint)).model
    package = pack_model(model)
    sets = results.summary.list_scored("model")
    scores = {test_set: mean_scores(results.summary, test_set) for test_set in sets}
    package |= {
        "dataset": name_dataset(results.conf, results.run),
        "task": results.conf["mixtures"]["task"],
        "licenses": list_notices(results.conf),
    }
    package["infos"] |= {
        "recipe_name": results.run["recipe"],
        "training_config": results.conf,
        "final_metrics": scores[sets[-1]],
        "scores": scores,
        "fingerprints": results.run["fingerprints"],
        "uploader": author,
        "upload_name": name,
        "license_note": licence,
    }
    save_tensors(package, path)
