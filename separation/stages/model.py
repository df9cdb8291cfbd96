"""Stages 4 to 6: training, evaluation, report. Heavy imports stay inside."""

import platform
import shutil
from pathlib import Path
from typing import Any

from separation.environment import PACKAGES, choose_device, find_version, name_device, read_commit
from separation.errors import UnscoredError, UserError
from separation.experiment.experiment import Experiment, fingerprint_file
from separation.files import hash_text, hash_value, read_json, write_json


def run_train(experiment: Experiment) -> list[Path]:
    """Stage 4: train, or go on training."""
    from separation.training.distributed import is_first_process
    from separation.training.loop import train

    conf = experiment.conf
    _refuse_other_data(experiment)
    device = choose_device(experiment.device)
    first = is_first_process(conf.training)
    if first:
        experiment.save_conf()
        write_json(experiment.folder / "run.json", describe_run(experiment, device))
    field = conf.model.receptive_field()
    seen = f"receptive field {field / conf.audio.sample_rate:.2f} s, " if field else ""
    print(f"  {seen}device {device}", flush=True)
    dev = experiment.mixtures("dev").keep(experiment.n_jobs, "render dev")
    train(conf, open_training(experiment), dev, experiment.folder, device)
    if not first:
        raise SystemExit(0)  # the first process marks the stage as done
    if not experiment.checkpoint.is_file():
        raise UserError(
            f"{experiment.folder}: no epoch gave a finite dev loss, so there is no model; lower "
            "training.lr or set training.precision=fp32, under a new --tag."
        )
    return [experiment.checkpoint, experiment.folder / "curves.csv", experiment.folder / "conf.yml"]


def open_training(experiment: Experiment) -> Any:
    """What the training draws its segments from: packed speakers, or the fixed training list.

    Raises:
        UserError: the fixed list is asked for but there is none.
    """
    from separation.corpora.pack import PackedAudio
    from separation.corpora.table import read_table
    from separation.mixtures.dynamic.host import DynamicMixtures, ListedSegments

    conf = experiment.conf
    n_samples = round(conf.training.segment_s * conf.audio.sample_rate)
    if not experiment.mixes_dynamically:
        if not experiment.has_train_list:
            raise UserError(
                "training.dynamic_mixing=false needs a training list: set mixtures.n_train, or "
                "metadata.rules=librimix."
            )
        mixtures, crop = experiment.mixtures("train"), conf.training.random_crop
        return ListedSegments(mixtures, n_samples, conf.training.seed, random_crop=crop)
    packs = []
    for table, folder in _list_packs(experiment):
        names = sorted({row.speaker for row in read_table(table) if row.split == "train"})
        packs.append(PackedAudio(folder, names))
    seed, noise = conf.training.seed, packs[1] if experiment.noisy else None
    speeds = (conf.training.speed_min, conf.training.speed_max)
    return DynamicMixtures(packs[0], n_samples, conf.mixtures, seed, noise, speeds)


def _list_packs(experiment: Experiment) -> list[tuple[Path, Path]]:
    packs = [(experiment.table, experiment.packed)]
    if experiment.noisy:
        packs.append((experiment.noise_table, experiment.packed / "noise"))
    return packs


def _refuse_other_data(experiment: Experiment) -> None:
    saved = read_json(experiment.folder / "run.json")
    if saved is not None and saved.get("data_key") != experiment.data_key:
        raise UserError(
            f"{experiment.folder} was begun on other recordings or mixtures; choose a new --tag."
        )


def describe_run(experiment: Experiment, device: Any) -> dict[str, Any]:
    """What produced a result: versions, commit, device, seed, data."""
    commit = read_commit()
    return {
        "recipe": experiment.recipe,
        "data_key": experiment.data_key,
        "commit": commit or "unknown",
        "device": name_device(device),
        "seed": experiment.conf.training.seed,
        "python": platform.python_version(),
        "versions": {name: find_version(name) for name in PACKAGES},
        "fingerprints": experiment.read_fingerprints(),
        "conf_fingerprint": hash_value(experiment.conf.as_dict()),
    }


def run_evaluate(experiment: Experiment) -> list[Path]:
    """Stage 5: every estimator on every test set, one row a mixture."""
    from separation.evaluation.runner import Scoring, evaluate_set
    from separation.evaluation.summary import write_summary
    from separation.metrics.score import check_metrics

    conf = experiment.conf.evaluation
    check_metrics(conf.metrics, experiment.conf.audio.sample_rate)
    checked = "model" if "model" in conf.estimators else conf.estimators[-1]
    folder = experiment.folder / "evaluation"
    key_file = folder / "key.json"
    if read_json(key_file) != experiment.scoring_key:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(key_file, experiment.scoring_key)
    results: dict[str, dict[str, list]] = {}
    unscored: dict[str, dict[str, list]] = {}
    doubts: list[str] = []
    outputs = [folder / "summary.json"]
    for split in experiment.test_splits:
        mixtures = experiment.mixtures(split).keep(experiment.n_jobs, f"render {split}")
        for name in conf.estimators:
            path = folder / split / f"{name}.csv"
            estimator = _make_estimator(experiment, name)
            key = f"{experiment.scoring_key} {name}"
            n_checked = conf.check_mixtures if name == checked else 0
            measured = (tuple(conf.metrics), experiment.n_jobs, conf.sixteen_bit, n_checked)
            label = f"{split} {name}"
            found = evaluate_set(mixtures, estimator, path, Scoring(*measured), label, key)
            results.setdefault(split, {})[name] = found.rows
            unscored.setdefault(split, {})[name] = found.unscored()
            doubts += [f"{label}: {text}" for text in found.doubts]
            outputs.append(path)
    about = {
        "checkpoint_sha256": fingerprint_file(experiment.checkpoint)
    } | experiment.read_fingerprints()
    for split, estimators in results.items():
        rows = next(iter(estimators.values()))
        about[f"audio_{split}"] = hash_text("\n".join(row.get("audio", "") for row in rows))
    write_summary(folder / "summary.json", results, about)
    _refuse_unscored(unscored, outputs, doubts)
    return outputs


def _refuse_unscored(
    unscored: dict[str, dict[str, list]], outputs: list[Path], doubts: list[str]
) -> None:
    """Name mixtures without scores; the stage is done unless scoring again may change something.

    Args:
        doubts: sentences on scores that differ from mir_eval's.

    Raises:
        UnscoredError: there are any.
    """
    from separation.evaluation.runner import UNREADABLE
    from separation.evaluation.score_rows import tell_unscored

    texts = [f"{split}, {text}" for split in unscored for text in tell_unscored(unscored[split])]
    if not texts and not doubts:
        return
    found = [row for split in unscored.values() for rows in split.values() for row in rows]
    again = doubts or any(row["problems"] == UNREADABLE for row in found)
    advice = "mend it and run stage 5 again" if again else "stage 6 reports the rest"
    raise UnscoredError("\n".join([*doubts, *texts, f"{advice}."]), outputs, final=not again)


def _make_estimator(experiment: Experiment, name: str) -> Any:
    from separation.evaluation import estimators

    conf = experiment.conf
    if name == "mixture":
        return estimators.estimate_mixture
    if name in estimators.ORACLE_MASKS:
        return estimators.make_oracle_mask(name, conf.evaluation, conf.audio.sample_rate)
    from separation.models.checkpoint.load import load_model

    model = load_model(experiment.checkpoint)
    return estimators.make_model_estimator(model, choose_device(experiment.device))


def run_report(experiment: Experiment) -> list[Path]:
    """Stage 6: RESULTS.md and report.html."""
    from separation.reports.training_report import write_report

    return write_report(experiment)
