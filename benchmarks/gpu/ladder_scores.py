"""A rung's model on the ladder's test sets, and its weights in half the bytes."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.ladder_corpus import list_test_sets
from separation.device import choose_device
from separation.errors import UserError
from separation.evaluation.estimators import make_model_estimator
from separation.evaluation.runner import Scoring, evaluate_set
from separation.evaluation.score_rows import describe_unscored
from separation.evaluation.summary import summarise
from separation.experiment.experiment import Experiment
from separation.files import fingerprint_file
from separation.mixtures.dataset import MixtureDataset, ReadOptions
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import read_mixture_table
from separation.models.asteroid import save_model
from separation.models.checkpoint.load import load_model


def score_rung(experiment: Experiment, work: Path) -> dict[str, Any]:
    """Score ``best_model.pth`` on every test set of the ladder, going on where it was cut.

    Returns:
        for each set what :func:`separation.evaluation.summary.summarise` gives: means and 95 %
        intervals.
    """
    checkpoint = experiment.folder.checkpoint
    model = load_model(checkpoint)
    estimator = make_model_estimator(model, choose_device(experiment.device))
    rate, found = experiment.conf.audio.sample_rate, {}
    options = ReadOptions(corpora=Corpora(work / "corpus"), sample_rate=rate)
    for table in list_test_sets(work):
        mixtures = MixtureDataset(read_mixture_table(table), options)
        path = experiment.folder.path / "ladder_tests" / f"{table.stem}.csv"
        mixtures.keep(experiment.n_jobs, f"render {table.stem}")
        key, scoring = fingerprint_file(checkpoint), Scoring(n_jobs=experiment.n_jobs)
        scored = evaluate_set(mixtures, estimator, path, scoring, table.stem, key)
        if scored.unscored():
            raise UserError("; ".join(describe_unscored({table.stem: scored.unscored()})))
        groups = summarise(scored.rows)
        found[table.stem] = {name: group.as_dict() for name, group in groups.items()}
    return found


def save_half(checkpoint: Path, path: Path) -> None:
    """Write an Asteroid checkpoint with float16 weights: half the bytes, for shipping."""
    model = load_model(checkpoint)
    with torch.no_grad():
        save_model(model.half(), path)
