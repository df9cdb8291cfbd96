"""What one call of ``compare`` scores, all of it checked first, then scored."""

import dataclasses
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separation.compare.comparison import Comparison, ModelInfo
from separation.compare.options import Options
from separation.compare.scores import Estimators, name_files, score_set
from separation.config.load import load_conf
from separation.datasets.evaluation_sets import EvalSet, open_eval_set
from separation.environment import (
    PACKAGES,
    ROOT,
    choose_device,
    find_version,
    name_device,
    read_commit,
)
from separation.errors import UserError
from separation.evaluation.runner import Scoring
from separation.evaluation.score_rows import tell_unscored
from separation.jobs import keep_freed_memory
from separation.metrics.score import check_metrics
from separation.models.checkpoint.load import LoadedModel, open_model
from separation.options import DEFAULT_RECIPE


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
        sets, complaints = [], []
        for eval_set in self.sets:
            folder = self.out / files[eval_set.name]
            scored, unscored = score_set(eval_set, self.estimators, self.scoring, folder)
            sets.append(scored)
            complaints += [f"{eval_set.name}, {text}" for text in tell_unscored(unscored)]
        checks = self.estimators.checks
        complaints += [f"{label}: {text}" for label in checks for text in checks[label].doubts]
        models = [_describe_model(model) for model in self.models]
        return Comparison(sets, models, self.scoring.metrics, self._describe()), complaints

    def _describe(self) -> dict[str, Any]:
        """What produced the comparison."""
        return {
            "command": shlex.join(["python", "-m", "separation", *sys.argv[1:]]),
            "commit": read_commit() or "unknown",
            "device": name_device(self.estimators.device),
            "python": platform.python_version(),
            "versions": {name: find_version(name) for name in PACKAGES},
            "scorer_check": self.estimators.tell_checks(),
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
        estimators=Estimators(named, [*options.oracles], conf, device),
        scoring=Scoring(metrics, options.n_jobs, options.sixteen_bit, conf.check_mixtures),
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
