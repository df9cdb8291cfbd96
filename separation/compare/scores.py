"""Models x test sets: what is compared, opened and checked, then scored with floor and ceilings."""

import dataclasses
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from separation.compare.comparison import Comparison, ScoredSet
from separation.compare.estimates import EstimateSystem, gather_estimates, match_estimates
from separation.compare.options import Options
from separation.compare.saved_estimates import SavedEstimates
from separation.compare.systems import (
    System,
    is_function,
    load_function,
    open_checkpoints,
    open_function,
)
from separation.config.load import load_conf
from separation.config.schema import FLOOR, EvaluationConf
from separation.datasets.evaluation_sets import EvalSet, open_eval_set
from separation.datasets.open import parse_roots
from separation.datasets.standard_sets import compare_with_published
from separation.device import choose_device, name_device
from separation.environment import PACKAGES, ROOT, find_version, read_commit
from separation.errors import UserError
from separation.evaluation.references import make_reference
from separation.evaluation.runner import Evaluation, Mixtures, Scoring, evaluate_set
from separation.evaluation.score_rows import ScoreRow, describe_unscored, hash_audio_of
from separation.evaluation.selfcheck import ScorerCheck, join_checks
from separation.files import hash_text, hash_value
from separation.jobs import keep_freed_memory
from separation.metrics.score import check_metrics
from separation.mixtures.signals import Mixture
from separation.options import DEFAULT_RECIPE

MAX_NAME = 120  # bytes of a file's name: a file system takes 255, with suffixes


class StampedMixtures:
    """Mixtures of a set whose stamps also hold those of a system's own files."""

    def __init__(self, eval_set: EvalSet, system: System) -> None:
        self.inputs = eval_set.at(system.info.sample_rate)
        self.rows, self.sample_rate = self.inputs.rows, self.inputs.sample_rate
        self._stamp_files = partial(system.stamp, eval_set)

    def stamp(self, index: int) -> str:
        """Of the mixture alone where the system has no files of it."""
        stamp, files = self.inputs.stamp(index), self._stamp_files(self.rows[index])
        return hash_value([stamp, files]) if files else stamp

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mixture:
        return self.inputs[index]


@dataclass(frozen=True, kw_only=True)
class Estimators:
    """Floor, ceilings and systems by name, each at its rate.

    Attributes:
        systems: by the name that the user gave.
        oracles: of ``ibm``, ``irm``, ``wfm``.
        conf: STFT of the oracles.
    """

    systems: Mapping[str, System]
    oracles: Sequence[str]
    conf: EvaluationConf

    def names(self) -> list[str]:
        return [FLOOR, *self.oracles, *self.systems]

    @property
    def base_rate(self) -> int:
        """Hz, of floor and ceilings: the first system's."""
        return next(iter(self.systems.values())).info.sample_rate

    def rate(self, name: str) -> int:
        """Hz, at which an estimator works and is scored."""
        return self.systems[name].info.sample_rate if name in self.systems else self.base_rate

    def key(self, name: str) -> str:
        """What its estimates depend on, beside the mixtures."""
        if name in self.systems:
            return self.systems[name].key
        return hash_value([name, self.conf.stft_window_s, self.conf.stft_hop_s])

    def open(self, name: str, eval_set: EvalSet) -> Callable[[Mixture], np.ndarray]:
        """The estimator itself."""
        if name in self.systems:
            return self.systems[name].open(eval_set)
        return make_reference(name, self.conf, self.base_rate)

    def open_mixtures(self, name: str, eval_set: EvalSet) -> Mixtures:
        """The mixtures of a set at an estimator's rate."""
        if name in self.systems:
            return StampedMixtures(eval_set, self.systems[name])
        return eval_set.at(self.base_rate)

    def separate(self, eval_set: EvalSet, name: str, mixture_id: str) -> tuple[Mixture, np.ndarray]:
        """One mixture and an estimator's ``(n_src, time)``, at the estimator's rate."""
        names = [row.mixture_id for row in eval_set.rows]
        mixture = eval_set.at(self.rate(name))[names.index(mixture_id)]
        return mixture, self.open(name, eval_set)(mixture)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one call compares, all of it checked."""

    sets: list[EvalSet]
    estimators: Estimators
    scoring: Scoring
    device: torch.device
    out: Path
    saved: Path | None = None  # folder of what the models put out

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
            saved = SavedEstimates(self.saved, folder.name) if self.saved else None
            evaluations = score_set(eval_set, self.estimators, self.scoring, folder, saved)
            sets.append(describe_scored(eval_set, self.estimators, evaluations))
            rows = {name: evaluation.unscored() for name, evaluation in evaluations.items()}
            unscored += [f"{eval_set.name}, {text}" for text in describe_unscored(rows)]
            for name, evaluation in evaluations.items():
                checks += [evaluation.check] if evaluation.check else []
                label = f"{eval_set.name} {name}"
                warnings += [f"{label}: {text}" for text in evaluation.warnings]
        comparison = Comparison(
            sets=sets,
            models=[system.info for system in self.estimators.systems.values()],
            metrics=self.scoring.metrics,
            about=self._describe(checks),
        )
        return comparison, [*unscored, *warnings]

    def _describe(self, checks: list[ScorerCheck]) -> dict[str, Any]:
        """What produced the comparison."""
        return {
            "command": shlex.join(["python", "-m", "separation", *sys.argv[1:]]),
            "commit": read_commit() or "unknown",
            "device": name_device(self.device),
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
    roots = [*parse_roots(options.corpora).values()]
    functions = [text for text in options.models if is_function(text)]
    for text in functions:
        load_function(text)  # a mistake in it is said before the models are loaded
    files = [gather_estimates(text, roots) for text in options.estimates]
    loaded = [text for text in options.models if text not in functions]
    models: list[System] = [*open_checkpoints(loaded, device, trust=options.trust)]
    rates = [*(model.info.sample_rate for model in models), *(own.sample_rate for own in files)]
    rates = list(dict.fromkeys(rates))
    metrics = tuple(dict.fromkeys(["si_sdr", *options.metrics]))
    for rate in rates:
        check_metrics(metrics, rate)
    sets = [open_eval_set(text, options, rates) for text in options.test_sets]
    sets = _name_apart(sets, options.test_sets)
    models += [open_function(text, options.rate, sets) for text in functions]
    models += [match_estimates(own, sets) for own in files]
    _compare_speakers(models, sets)
    return _plan(options, models, sets, metrics, device)


def _plan(
    options: Options,
    systems: Sequence[System],
    sets: list[EvalSet],
    metrics: tuple[str, ...],
    device: torch.device,
) -> Plan:
    named = {system.info.name: system for system in systems}
    if options.limit:
        sets = [eval_set.limit(options.limit) for eval_set in sets]
    conf = load_conf(ROOT, DEFAULT_RECIPE, []).evaluation  # conf/default.yml's, of the masks
    in_order = {name: named[name] for name in [*options.models, *options.named_estimates]}
    return Plan(
        sets=sets,
        estimators=Estimators(systems=in_order, oracles=options.oracles, conf=conf),
        scoring=Scoring(
            metrics=metrics,
            n_jobs=options.n_jobs,
            sixteen_bit=options.sixteen_bit,
            n_checked=conf.check_mixtures,
        ),
        device=device,
        out=options.out.resolve(),
        saved=options.save_estimates.resolve() if options.save_estimates else None,
    )


def _compare_speakers(systems: Sequence[System], sets: list[EvalSet]) -> None:
    for info in (system.info for system in systems):
        for eval_set in sets:
            if info.n_src not in (0, eval_set.n_src):  # 0: a function, which may take any
                raise UserError(
                    f"{info.name} separates {info.n_src} speakers but the mixtures of "
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


def _describe_checks(checks: list[ScorerCheck]) -> dict[str, float]:
    """The largest difference between the scorer and mir_eval, and on how many mixtures."""
    if not checks:
        return {}
    whole = join_checks(checks)
    by_metric = {f"{name}_db": value for name, value in whole.by_metric.items()}
    return {"n": whole.n, "largest_db": whole.largest_db} | by_metric


def score_set(
    eval_set: EvalSet,
    estimators: Estimators,
    scoring: Scoring,
    folder: Path,
    saved: SavedEstimates | None = None,
) -> dict[str, Evaluation]:
    """Score all estimators on one set, each into ``folder/<estimator>.csv``.

    Args:
        saved: where what the models put out is kept; None: it is not.
    """
    files = name_files(estimators.names())
    evaluations = {}
    for name in estimators.names():
        is_system, key = name in estimators.systems, estimators.key(name)
        mixtures = estimators.open_mixtures(name, eval_set)
        estimator, label = estimators.open(name, eval_set), f"{eval_set.name} {name}"
        kept = None
        if saved and is_system and not isinstance(estimators.systems[name], EstimateSystem):
            kept = saved.open(files[name], key)
        evaluations[name] = evaluate_set(
            mixtures,
            kept.wrap(estimator) if kept else estimator,
            folder / f"{files[name]}.csv",
            dataclasses.replace(scoring, n_checked=scoring.n_checked if is_system else 0),
            label=label,
            key=key,
        )
        if kept:
            kept.write_missing(mixtures, evaluations[name].rows, estimator, label)
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
        notes_of={name: _describe_estimator(eval_set, estimators, name) for name in rates},
        standard=match.standard,
        audio=hash_audio_by_rate(rows, rates),
        mode=eval_set.mode,
        type=eval_set.mixture_type,
        n_whole=eval_set.n_whole,
    )


def _describe_estimator(eval_set: EvalSet, estimators: Estimators, name: str) -> tuple[str, ...]:
    """Sentences on resampling, and on separated files that were cut or padded to fit."""
    notes = eval_set.describe_resampling(estimators.rate(name))
    system = estimators.systems.get(name)
    n_fitted = system.n_fitted[eval_set.name] if isinstance(system, EstimateSystem) else 0
    if n_fitted:
        notes += (f"{n_fitted} separated files were cut or padded by up to 10 ms to fit.",)
    return notes


def _describe_rates(estimators: Estimators) -> tuple[str, ...]:
    if len({estimators.rate(name) for name in estimators.systems}) == 1:
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
