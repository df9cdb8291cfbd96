"""The matrix of a comparison: a test set x its estimators -> rows, and what is to be said of it."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from separation.compare.comparison import FLOOR, ScoredSet
from separation.config.schema import EvaluationConf
from separation.datasets.evaluation_sets import EvalSet
from separation.datasets.standard_sets import compare_with_published
from separation.evaluation.estimators import (
    estimate_mixture,
    make_model_estimator,
    make_oracle_mask,
)
from separation.evaluation.runner import Evaluation, Scoring, evaluate_set
from separation.evaluation.selfcheck import ScorerCheck, join_checks
from separation.files import hash_text, hash_value
from separation.mixtures.signals import Mixture
from separation.models.asteroid import describe_model
from separation.models.checkpoint.load import LoadedModel

Unscored = dict[str, list[dict[str, Any]]]  # by estimator, the rows without scores
MAX_NAME = 120  # bytes of a file's name: a file system takes 255, with suffixes


@dataclass
class Estimators:
    """Floor, ceilings and models by name, each at its rate.

    Attributes:
        models: by the name that the user gave.
        oracles: of ``ibm``, ``irm``, ``wfm``.
        conf: STFT of the oracles.
        device: of the models.
        checks: of the scorer, by set and estimator.
    """

    models: dict[str, LoadedModel]
    oracles: list[str]
    conf: EvaluationConf
    device: Any
    checks: dict[str, ScorerCheck] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [FLOOR, *self.oracles, *self.models]

    @property
    def base_rate(self) -> int:
        """Hz, of floor and ceilings: the first model's."""
        return next(iter(self.models.values())).sample_rate

    def rate(self, name: str) -> int:
        """Hz, at which an estimator works and is scored."""
        return self.models[name].sample_rate if name in self.models else self.base_rate

    def key(self, name: str) -> str:
        """What its estimates depend on, beside the mixtures."""
        if name in self.models:
            loaded = self.models[name]
            # a file of weights alone takes its architecture from a conf.yml
            class_name, arguments = describe_model(loaded.model)
            built = [class_name, sorted(map(str, arguments.items()))]
            return hash_value([loaded.sha256, loaded.sample_rate, built, self.device.type])
        return hash_value([name, self.conf.stft_window_s, self.conf.stft_hop_s])

    def open(self, name: str) -> Callable[[Mixture], np.ndarray]:
        """The estimator itself."""
        if name in self.models:
            return make_model_estimator(self.models[name].model, self.device)
        if name == FLOOR:
            return estimate_mixture
        return make_oracle_mask(name, self.conf, self.base_rate)

    def separate(self, eval_set: EvalSet, name: str, mixture_id: str) -> tuple[Mixture, np.ndarray]:
        """One mixture and an estimator's ``(n_src, time)``, at the estimator's rate."""
        names = [row.mixture_id for row in eval_set.rows]
        mixture = eval_set.at(self.rate(name))[names.index(mixture_id)]
        return mixture, self.open(name)(mixture)

    def tell_checks(self) -> dict[str, Any]:
        """The largest difference between the scorer and mir_eval, and on how many mixtures."""
        if not self.checks:
            return {}
        whole = join_checks([*self.checks.values()])
        by_metric = {f"{name}_db": value for name, value in whole.by_metric.items()}
        return {"n": whole.n, "largest_db": whole.largest_db} | by_metric


def name_files(names: list[str]) -> dict[str, str]:
    """A file name for each name, safe on any system; names that would collide stay apart.

    >>> name_files(["a/b", "a__b", "x y"])
    {'a/b': 'a__b-c14cdd', 'a__b': 'a__b-63e5c1', 'x y': 'x_y'}
    """
    safe = {name: _make_safe(name) for name in names}
    taken = [text.lower() for text in safe.values()]
    return {
        name: f"{text}-{hash_text(name)[:6]}" if taken.count(text.lower()) > 1 else text
        for name, text in safe.items()
    }


def _make_safe(name: str) -> str:
    text = re.sub(r"[^\w.@-]+", "_", name.strip("/").replace("/", "__")).lstrip(".")
    whole = text.encode("utf-8")
    if len(whole) > MAX_NAME:
        text = f"{whole[-MAX_NAME:].decode('utf-8', 'ignore')}-{hash_text(name)[:6]}".lstrip(".")
    return text or "unnamed"


def score_set(
    eval_set: EvalSet, estimators: Estimators, scoring: Scoring, folder: Path
) -> tuple[ScoredSet, Unscored]:
    """Score all estimators on one set, each into ``folder/<estimator>.csv``.

    Returns:
        the set with its rows and notes, and which of its mixtures have no scores.
    """
    files = name_files(estimators.names())
    rows: dict[str, list[dict[str, Any]]] = {}
    notes_of: dict[str, tuple[str, ...]] = {}
    unscored: Unscored = {}
    for name in estimators.names():
        rate = estimators.rate(name)
        label, path = f"{eval_set.name} {name}", folder / f"{files[name]}.csv"
        n_checked = scoring.n_checked if name in estimators.models else 0
        measured, key = dataclasses.replace(scoring, n_checked=n_checked), estimators.key(name)
        estimator = estimators.open(name)
        found = evaluate_set(eval_set.at(rate), estimator, path, measured, label, key)
        rows[name] = found.rows
        notes_of[name] = eval_set.describe_resampling(rate)
        unscored[name] = found.unscored()
        _keep_check(estimators, label, found)
    rates = {name: estimators.rate(name) for name in rows}
    match = compare_with_published(eval_set, rows, rates)
    scored = ScoredSet(
        name=eval_set.name,
        kind=eval_set.form,
        sample_rate=estimators.base_rate,
        n_src=eval_set.n_src,
        n_mixtures=len(eval_set.rows),
        fingerprint=eval_set.fingerprint,
        notes=(*eval_set.notes, *_describe_rates(estimators), *match.notes),
        rows=rows,
        notes_of=notes_of,
        standard=match.standard,
        audio=hash_audio_of(rows, rates),
        mode=eval_set.mode,
        type=eval_set.mixture_type,
        n_whole=eval_set.n_whole,
    )
    return scored, unscored


def hash_audio_of(rows_of: Unscored, rates: dict[str, int]) -> dict[int, str]:
    """Fingerprint of a set's audio at every rate in Hz at which it was scored.

    So it does not depend on the order of the models. A model that failed on a mixture leaves no
    trace of its audio, so the estimator that has read the most speaks for a rate.
    """
    found: dict[int, str] = {}
    for rate in sorted(set(rates.values())):
        own = [rows for name, rows in rows_of.items() if rates[name] == rate]
        found[rate] = hash_rows(max(own, key=lambda rows: sum("audio" in row for row in rows)))
    return found


def _keep_check(estimators: Estimators, label: str, found: Evaluation) -> None:
    if found.check:
        estimators.checks[label] = found.check


def hash_rows(rows: list[dict[str, Any]]) -> str:
    """Fingerprint of a set's audio, as stage 5 states it."""
    return hash_text("\n".join(row.get("audio", "") for row in rows))


def _describe_rates(estimators: Estimators) -> tuple[str, ...]:
    if len({estimators.rate(name) for name in estimators.models}) == 1:
        return ()
    return (
        f"The mixture and the oracles are scored at {estimators.base_rate} Hz, the rate of the "
        "first model; every model at its own.",
    )
