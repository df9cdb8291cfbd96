"""Models x test sets: what is compared, opened and checked, then scored with floor and ceilings."""

import dataclasses
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from separation.compare.comparison import Comparison, ModelInfo, ScoredSet
from separation.compare.options import Options
from separation.config.load import load_conf
from separation.config.schema import FLOOR, EvaluationConf
from separation.datasets.evaluation_sets import EvalSet, open_eval_set
from separation.datasets.standard_sets import compare_with_published
from separation.device import choose_device, name_device
from separation.environment import PACKAGES, ROOT, find_version, read_commit
from separation.errors import UserError
from separation.evaluation.estimators import make_model_estimator, make_reference_estimator
from separation.evaluation.runner import Evaluation, Scoring, evaluate_set
from separation.evaluation.score_rows import ScoreRow, describe_unscored, hash_audio_of
from separation.evaluation.selfcheck import ScorerCheck, join_checks
from separation.files import hash_text, hash_value
from separation.jobs import keep_freed_memory
from separation.metrics.score import check_metrics
from separation.mixtures.signals import Mixture
from separation.models.asteroid import describe_model
from separation.models.checkpoint.load import LoadedModel, open_model
from separation.options import DEFAULT_RECIPE

MAX_NAME = 120  # bytes of a file's name: a file system takes 255, with suffixes


@dataclass(frozen=True, kw_only=True)
class Estimators:
    """Floor, ceilings and models by name, each at its rate.

    Attributes:
        models: by the name that the user gave.
        oracles: of ``ibm``, ``irm``, ``wfm``.
        conf: STFT of the oracles.
        device: of the models.
    """

    models: Mapping[str, LoadedModel]
    oracles: Sequence[str]
    conf: EvaluationConf
    device: torch.device

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
        return make_reference_estimator(name, self.conf, self.base_rate)

    def separate(self, eval_set: EvalSet, name: str, mixture_id: str) -> tuple[Mixture, np.ndarray]:
        """One mixture and an estimator's ``(n_src, time)``, at the estimator's rate."""
        names = [row.mixture_id for row in eval_set.rows]
        mixture = eval_set.at(self.rate(name))[names.index(mixture_id)]
        return mixture, self.open(name)(mixture)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one call compares, all of it checked."""

    models: list[LoadedModel]
    sets: list[EvalSet]
    estimators: Estimators
    scoring: Scoring
    out: Path

    def score(self) -> tuple[Comparison, list[str]]:
        """Score each estimator on each set, going on where an earlier call stopped.

        Returns:
            the scores, and a sentence for each set and estimator that has mixtures without
            scores, or scores that differ from mir_eval's.
        """
        keep_freed_memory()
        files = name_files([eval_set.name for eval_set in self.sets])
        sets, unscored, warnings, checks = [], [], [], []
        for eval_set in self.sets:
            folder = self.out / files[eval_set.name]
            evaluations = score_set(eval_set, self.estimators, self.scoring, folder)
            sets.append(describe_scored(eval_set, self.estimators, evaluations))
            rows = {name: evaluation.unscored() for name, evaluation in evaluations.items()}
            unscored += [f"{eval_set.name}, {text}" for text in describe_unscored(rows)]
            for name, evaluation in evaluations.items():
                checks += [evaluation.check] if evaluation.check else []
                label = f"{eval_set.name} {name}"
                warnings += [f"{label}: {text}" for text in evaluation.warnings]
        comparison = Comparison(
            sets=sets,
            models=[_describe_model(model) for model in self.models],
            metrics=self.scoring.metrics,
            about=self._describe(checks),
        )
        return comparison, [*unscored, *warnings]

    def _describe(self, checks: list[ScorerCheck]) -> dict[str, Any]:
        """What produced the comparison."""
        return {
            "command": shlex.join(["python", "-m", "separation", *sys.argv[1:]]),
            "commit": read_commit() or "unknown",
            "device": name_device(self.estimators.device),
            "python": platform.python_version(),
            "versions": {name: find_version(name) for name in PACKAGES},
            "scorer_check": _describe_checks(checks),
        }


def make_plan(options: Options) -> Plan:
    """Load all models, open all sets, see that they fit.

    Raises:
        UserError: names what does not fit, and the fix.
    """
    device = choose_device(options.device)
    models = [open_model(text, trust=options.trust) for text in options.models]
    rates = list(dict.fromkeys(model.sample_rate for model in models))
    metrics = tuple(dict.fromkeys(["si_sdr", *options.metrics]))
    for rate in rates:
        check_metrics(metrics, rate)
    sets = [open_eval_set(text, options, rates) for text in options.test_sets]
    _compare_speakers(models, sets)
    if options.limit:
        sets = [eval_set.limit(options.limit) for eval_set in sets]
    conf = load_conf(ROOT, DEFAULT_RECIPE, []).evaluation  # conf/default.yml's, of the masks
    named = {model.name: model for model in models}
    return Plan(
        models=models,
        sets=_name_apart(sets, options.test_sets),
        estimators=Estimators(models=named, oracles=options.oracles, conf=conf, device=device),
        scoring=Scoring(
            metrics=metrics,
            n_jobs=options.n_jobs,
            sixteen_bit=options.sixteen_bit,
            n_checked=conf.check_mixtures,
        ),
        out=options.out.resolve(),
    )


def _compare_speakers(models: list[LoadedModel], sets: list[EvalSet]) -> None:
    for model in models:
        for eval_set in sets:
            if model.n_src != eval_set.n_src:
                raise UserError(
                    f"{model.name} separates {model.n_src} speakers but the mixtures of "
                    f"{eval_set.name} have {eval_set.n_src}: leave {eval_set.name} out, or give a "
                    f"model of {eval_set.n_src} speakers."
                )


def _name_apart(sets: list[EvalSet], texts: Sequence[str]) -> list[EvalSet]:
    """Sets of one name are called what the user wrote."""
    names = [eval_set.name for eval_set in sets]
    return [
        dataclasses.replace(eval_set, name=text) if names.count(eval_set.name) > 1 else eval_set
        for eval_set, text in zip(sets, texts, strict=True)
    ]


def _describe_model(model: LoadedModel) -> ModelInfo:
    return ModelInfo(
        name=model.name,
        sha256=model.sha256,
        sample_rate=model.sample_rate,
        n_src=model.n_src,
        notes=model.notes,
        published=model.published,
    )


def _describe_checks(checks: list[ScorerCheck]) -> dict[str, float]:
    """The largest difference between the scorer and mir_eval, and on how many mixtures."""
    if not checks:
        return {}
    whole = join_checks(checks)
    by_metric = {f"{name}_db": value for name, value in whole.by_metric.items()}
    return {"n": whole.n, "largest_db": whole.largest_db} | by_metric


def score_set(
    eval_set: EvalSet, estimators: Estimators, scoring: Scoring, folder: Path
) -> dict[str, Evaluation]:
    """Score all estimators on one set, each into ``folder/<estimator>.csv``."""
    files = name_files(estimators.names())
    evaluations = {}
    for name in estimators.names():
        n_checked = scoring.n_checked if name in estimators.models else 0
        evaluations[name] = evaluate_set(
            eval_set.at(estimators.rate(name)),
            estimators.open(name),
            folder / f"{files[name]}.csv",
            dataclasses.replace(scoring, n_checked=n_checked),
            label=f"{eval_set.name} {name}",
            key=estimators.key(name),
        )
    return evaluations


def describe_scored(
    eval_set: EvalSet, estimators: Estimators, evaluations: Mapping[str, Evaluation]
) -> ScoredSet:
    """A set with its rows, and what is to be said of them."""
    rows = {name: evaluation.rows for name, evaluation in evaluations.items()}
    rates = {name: estimators.rate(name) for name in rows}
    match = compare_with_published(eval_set, rows, rates)
    return ScoredSet(
        name=eval_set.name,
        kind=eval_set.form,
        sample_rate=estimators.base_rate,
        n_src=eval_set.n_src,
        n_mixtures=len(eval_set.rows),
        fingerprint=eval_set.fingerprint,
        notes=(*eval_set.notes, *_describe_rates(estimators), *match.notes),
        rows=rows,
        notes_of={name: eval_set.describe_resampling(rate) for name, rate in rates.items()},
        standard=match.standard,
        audio=hash_audio_by_rate(rows, rates),
        mode=eval_set.mode,
        type=eval_set.mixture_type,
        n_whole=eval_set.n_whole,
    )


def _describe_rates(estimators: Estimators) -> tuple[str, ...]:
    if len({estimators.rate(name) for name in estimators.models}) == 1:
        return ()
    return (
        f"The mixture and the oracles are scored at {estimators.base_rate} Hz, the rate of the "
        "first model; every model at its own.",
    )


def hash_audio_by_rate(
    rows_of: Mapping[str, list[ScoreRow]], rates: Mapping[str, int]
) -> dict[int, str]:
    """Fingerprint of a set's audio at every rate in Hz at which it was scored.

    So it does not depend on the order of the models. A model that failed on a mixture leaves no
    trace of its audio, so the estimator that has read the most speaks for a rate.
    """
    prints: dict[int, str] = {}
    for rate in sorted(set(rates.values())):
        tables = [rows for name, rows in rows_of.items() if rates[name] == rate]
        prints[rate] = hash_audio_of(max(tables, key=lambda rows: sum(bool(r.audio) for r in rows)))
    return prints


def name_files(names: Sequence[str]) -> dict[str, str]:
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
