"""Stages 4 to 6: training, evaluation, report. Heavy imports stay inside."""

import contextlib
import fcntl
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from separation.device import choose_device, name_device
from separation.environment import PACKAGES, find_version, read_commit
from separation.errors import UnscoredError, UserError
from separation.experiment.experiment import Experiment
from separation.experiment.fingerprints import read_fingerprints
from separation.experiment.folder import ExperimentFolder, RunRecord
from separation.files import check_writable, fingerprint_file, read_json, write_json
from separation.stages.keys import data_key, scoring_key
from separation.stages.preflight import check_workers
from separation.stages.state import list_config_changes, save_conf
from separation.training.loggers import check_loggers

if TYPE_CHECKING:
    import numpy as np
    import torch

    from separation.evaluation.runner import Evaluation
    from separation.mixtures.signals import Mixture

Evaluations = dict[str, dict[str, "Evaluation"]]  # by test set and estimator


def run_train(experiment: Experiment) -> list[Path]:
    """Stage 4: train, or go on training."""
    from separation.training.distributed import is_first_process

    check_loggers(experiment.conf.training.loggers)
    _refuse_other_data(experiment)
    check_workers(experiment.conf)
    if not is_first_process(experiment.conf.training):
        _train(experiment)
        raise SystemExit(0)  # the first process marks the stage as done
    folder = experiment.folder
    check_writable(folder.path, "make it so, or choose another with --exp")
    with _hold(folder):
        _say_begun_anew(experiment)
        save_conf(experiment)
        write_json(folder.run, describe_run(experiment, choose_device(experiment.device)))
        _train(experiment)
    if not folder.checkpoint.is_file():
        raise UserError(
            f"{folder.path}: no epoch gave a finite dev loss, so there is no model; lower "
            "training.lr or set training.precision=fp32, under a new --tag."
        )
    return [folder.checkpoint, folder.curves, folder.conf]


def _train(experiment: Experiment) -> None:
    from separation.experiment.mixtures import open_split, open_training
    from separation.training.data import choose_dev
    from separation.training.loop import train

    conf, device = experiment.conf, choose_device(experiment.device)
    field = conf.model.receptive_field()
    seen = f"receptive field {field / conf.audio.sample_rate:.2f} s, " if field else ""
    print(f"  {seen}device {device}", flush=True)
    dev = open_split(experiment, "dev")
    chosen = choose_dev(conf.training, len(dev))
    # Several processes on a machine would each keep all of them.
    dev.keep(experiment.n_jobs, "render dev", chosen, many=conf.training.n_processes == 1)
    train(conf, open_training(experiment), dev, experiment.folder.path, device)


@contextlib.contextmanager
def _hold(folder: ExperimentFolder) -> Iterator[None]:
    """Keep a second training out of the folder while one is under way in it.

    The lock goes with the process, however it ends; a file system without locks is taken as it is.

    Raises:
        UserError: another process trains in it.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    with open(folder.training_lock, "w", encoding="utf-8") as handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise UserError(
                f"{folder.path}: another process trains in it; wait until it ends, or choose "
                "another --tag."
            ) from error
        except OSError:
            pass
        yield


def _refuse_other_data(experiment: Experiment) -> None:
    """Raise :class:`UserError` where the folder's training heard other mixtures."""
    folder = experiment.folder
    saved = folder.read_run()
    if saved is not None and folder.is_trained and saved.get("data_key") != data_key(experiment):
        raise UserError(
            f"{folder.path} was begun on other recordings or mixtures; choose a new --tag."
        )


def _say_begun_anew(experiment: Experiment) -> None:
    """A line where a run with another config ended before it had trained anything."""
    changes = list_config_changes(experiment)
    if changes:
        print(
            f"  {experiment.folder.path}: nothing was trained with its other config; begun anew "
            f"with {'; '.join(changes)}",
            flush=True,
        )


def describe_run(experiment: Experiment, device: "torch.device") -> RunRecord:
    """What produces a result: versions, commit, device, seed, data."""
    return {
        "recipe": experiment.recipe,
        "data_key": data_key(experiment),
        "commit": read_commit() or "unknown",
        "device": name_device(device),
        "seed": experiment.conf.training.seed,
        "python": platform.python_version(),
        "versions": {name: find_version(name) for name in PACKAGES},
        "fingerprints": read_fingerprints(experiment),
        "conf_fingerprint": experiment.conf.fingerprint(),
    }


def run_evaluate(experiment: Experiment) -> list[Path]:
    """Stage 5: every estimator on every test set, one row a mixture.

    Raises:
        UnscoredError: some mixtures have no scores; all others were scored.
    """
    from separation.evaluation.score_rows import hash_audio_of
    from separation.evaluation.summary import Summary, summarise, write_summary
    from separation.metrics.score import check_metrics

    conf, folder = experiment.conf, experiment.folder
    check_metrics(conf.evaluation.metrics, conf.audio.sample_rate)
    key = scoring_key(experiment)
    _begin_evaluation(folder.evaluation, key)
    scored = {split: _evaluate_split(experiment, split, key) for split in experiment.test_splits}
    about = {"checkpoint_sha256": fingerprint_file(folder.checkpoint)}
    about |= read_fingerprints(experiment)
    for split, evaluations in scored.items():
        about[f"audio_{split}"] = hash_audio_of(next(iter(evaluations.values())).rows)
    means = {
        split: {name: summarise(evaluation.rows) for name, evaluation in evaluations.items()}
        for split, evaluations in scored.items()
    }
    write_summary(folder.summary, Summary(about, means))
    tables = [folder.scores(split, name) for split in scored for name in scored[split]]
    outputs = [folder.summary, *tables]
    _refuse_unscored(scored, outputs)
    return outputs


def _begin_evaluation(folder: Path, key: str) -> None:
    """Keep scores of this very key to go on from; remove those of another."""
    key_file = folder / "key.json"
    if read_json(key_file) != key:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(key_file, key)


def _evaluate_split(experiment: Experiment, split: str, key: str) -> dict[str, "Evaluation"]:
    """Score every estimator on one test set; the scorer is checked on one of them."""
    from separation.evaluation.runner import Scoring, evaluate_set
    from separation.experiment.mixtures import open_split

    conf = experiment.conf.evaluation
    checked = "model" if "model" in conf.estimators else conf.estimators[-1]
    mixtures = open_split(experiment, split).keep(experiment.n_jobs, f"render {split}")
    evaluations = {}
    for name in conf.estimators:
        scoring = Scoring(
            metrics=tuple(conf.metrics),
            n_jobs=experiment.n_jobs,
            sixteen_bit=conf.sixteen_bit,
            n_checked=conf.check_mixtures if name == checked else 0,
        )
        evaluations[name] = evaluate_set(
            mixtures,
            _make_estimator(experiment, name),
            experiment.folder.scores(split, name),
            scoring,
            label=f"{split} {name}",
            key=f"{key} {name}",
        )
    return evaluations


def _refuse_unscored(scored: Evaluations, outputs: list[Path]) -> None:
    """Name mixtures without scores; the stage is done unless scoring again may change something.

    Raises:
        UnscoredError: there are any, or scores differ from mir_eval's.
    """
    from separation.evaluation.runner import UNREADABLE
    from separation.evaluation.score_rows import describe_unscored

    unscored = {
        split: {name: evaluation.unscored() for name, evaluation in evaluations.items()}
        for split, evaluations in scored.items()
    }
    differing = [
        f"{split} {name}: {text}"
        for split, evaluations in scored.items()
        for name, evaluation in evaluations.items()
        for text in evaluation.warnings
    ]
    texts = [
        f"{split}, {text}" for split in unscored for text in describe_unscored(unscored[split])
    ]
    if not texts and not differing:
        return
    rows = [row for split in unscored.values() for rows in split.values() for row in rows]
    again = bool(differing) or any(row.problems == (UNREADABLE,) for row in rows)
    advice = "fix it and run stage 5 again" if again else "stage 6 reports the rest"
    raise UnscoredError("\n".join([*differing, *texts, f"{advice}."]), outputs, final=not again)


def _make_estimator(experiment: Experiment, name: str) -> "Callable[[Mixture], np.ndarray]":
    from separation.evaluation.estimators import make_model_estimator
    from separation.evaluation.references import make_reference
    from separation.models.checkpoint.load import load_model

    conf = experiment.conf
    if name != "model":
        return make_reference(name, conf.evaluation, conf.audio.sample_rate)
    model = load_model(experiment.folder.checkpoint)
    return make_model_estimator(model, choose_device(experiment.device))


def run_report(experiment: Experiment) -> list[Path]:
    """Stage 6: RESULTS.md and report.html."""
    from separation.reports.training_report import write_report

    return write_report(experiment)
