"""The command ``compare``: models x test sets, one scorer, with floor and ceilings.

Everything that could be wrong is looked at first; then each estimator is scored on each set into
``OUT/<set>/<estimator>.csv``, going on where an earlier call stopped; then the report is written.
"""

import argparse
import dataclasses
import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separation.compare.comparison import FLOOR, ORACLES, Comparison, ModelInfo
from separation.config.load import load_conf
from separation.datasets.open import InputOptions, check_text
from separation.environment import (
    PACKAGES,
    ROOT,
    choose_device,
    find_version,
    name_device,
    read_commit,
)
from separation.errors import UserError
from separation.files import check_writable
from separation.jobs import keep_freed_memory
from separation.metrics import METRICS
from separation.mixtures.folders import MIX_FOLDERS
from separation.mixtures.render import MODES

if TYPE_CHECKING:  # they import torch, which takes seconds: first the options are looked at
    from separation.compare.scores import Estimators
    from separation.datasets.evaluation_sets import TestSet
    from separation.evaluation.runner import Scoring
    from separation.models.checkpoint.load import LoadedModel

SCORES_TITLE = "## Scores"  # of comparison.md
DEFAULT_RECIPE = "mini/ConvTasNet"  # its config is conf/default.yml's where the masks are concerned


@dataclass(frozen=True)
class Plan:
    """What one call compares, all of it checked."""

    models: "list[LoadedModel]"
    sets: "list[TestSet]"
    estimators: "Estimators"
    scoring: "Scoring"
    out: Path


def compare_models(args: argparse.Namespace) -> int:
    """Score every model on every test set, write the report, print its table.

    Returns:
        1 where mixtures could not be scored or the scorer is not mir_eval's equal, else 0.

    Raises:
        UserError: anything wrong with options, models or sets, before the first mixture is scored.
    """
    keep_freed_memory()
    _check_options(args)
    from separation.compare.scores import name_files, score_set
    from separation.evaluation.score_rows import tell_unscored

    plan = make_plan(args)
    files = name_files([test_set.name for test_set in plan.sets])
    sets, complaints = [], []
    for test_set in plan.sets:
        folder = plan.out / files[test_set.name]
        scored, unscored = score_set(test_set, plan.estimators, plan.scoring, folder)
        sets.append(scored)
        complaints += [f"{test_set.name}, {text}" for text in tell_unscored(unscored)]
    checks = plan.estimators.checks
    complaints += [f"{label}: {text}" for label in checks for text in checks[label].doubts]
    comparison = Comparison(
        sets, [_describe_model(model) for model in plan.models], plan.scoring.metrics, _tell(plan)
    )
    _report(plan, comparison, args.worst)
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


def _report(plan: Plan, comparison: Comparison, n_worst: int) -> None:
    from separation.compare.report import write_comparison

    sets = {test_set.name: test_set for test_set in plan.sets}

    def render(set_name: str, estimator: str, mixture_id: str) -> tuple:
        return plan.estimators.separate(sets[set_name], estimator, mixture_id)

    paths = write_comparison(plan.out, comparison, render, n_worst)
    print(cut_section(paths[0].read_text(encoding="utf-8"), SCORES_TITLE), flush=True)
    print("\n".join(map(str, paths)), flush=True)


def cut_section(text: str, title: str) -> str:
    """One section of a report in Markdown, without its title.

    >>> cut_section("# A\\n## B\\n| 1 |\\n## C\\n", "## B")
    '| 1 |\\n'
    """
    return text.partition(f"{title}\n")[2].partition("\n## ")[0] + "\n"


def make_plan(args: argparse.Namespace) -> Plan:
    """Load all models, open all sets, see that they fit.

    Raises:
        UserError: names what does not fit, and the fix.
    """
    from separation.compare.scores import Estimators
    from separation.datasets.evaluation_sets import open_test_set
    from separation.evaluation.runner import Scoring
    from separation.metrics.score import check_metrics
    from separation.models.checkpoint.load import open_model

    device = choose_device(args.device)
    models = [open_model(text, trust=args.trust_checkpoint) for text in args.models]
    rates = list(dict.fromkeys(model.sample_rate for model in models))
    metrics = tuple(dict.fromkeys(["si_sdr", *args.metrics]))
    for rate in rates:
        check_metrics(metrics, rate)
    options = InputOptions(
        *(args.corpus, args.rate, args.mode, args.type, args.sets, args.data, args.nj)
    )
    sets = [open_test_set(text, options, rates) for text in args.test_sets]
    _compare_speakers(models, sets)
    if args.limit:
        sets = [test_set.limit(args.limit) for test_set in sets]
    sets = _name_apart(sets, args.test_sets)
    conf = load_conf(ROOT, DEFAULT_RECIPE, []).evaluation
    estimators = Estimators({model.name: model for model in models}, args.oracles, conf, device)
    scoring = Scoring(metrics, args.nj, args.sixteen_bit, conf.check_mixtures)
    return Plan(models, sets, estimators, scoring, args.out.resolve())


def _check_options(args: argparse.Namespace) -> None:
    if args.mode and args.mode not in MODES:
        raise UserError(f"--mode {args.mode}: choose of {', '.join(MODES)}.")
    if args.type and args.type not in MIX_FOLDERS:
        raise UserError(f"--type {args.type}: choose of {', '.join(MIX_FOLDERS)}.")
    if args.rate is not None and not 4000 <= args.rate <= 48000:
        raise UserError(f"--rate {args.rate}: give Hz within 4000..48000, such as 8000.")
    for option, given, known in (
        ("--metrics", args.metrics, METRICS),
        ("--oracles", args.oracles, ORACLES),
    ):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UserError(f"{option} {unknown[0]}: choose of {', '.join(known)}.")
    for option, given, least in (
        ("--nj", args.nj, 1),
        ("--worst", args.worst, 0),
        ("--limit", args.limit, 1),
    ):
        if given is not None and given < least:
            raise UserError(f"{option} {given}: should be {least} or more.")
    for option, names in (("--models", args.models), ("--test-sets", args.test_sets)):
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise UserError(f"{option} {twice[0]}: is given twice; name each once.")
    reserved = [name for name in args.models if name in (FLOOR, *ORACLES)]
    if reserved:
        name = reserved[0]
        raise UserError(f"--models {name}: is what a reference is called; write ./{name}.")
    for text in args.test_sets:
        check_text(text)
    check_writable(args.out, "choose another with --out")


def _compare_speakers(models: "list[LoadedModel]", sets: "list[TestSet]") -> None:
    for model in models:
        for test_set in sets:
            if model.n_src != test_set.n_src:
                raise UserError(
                    f"{model.name} separates {model.n_src} speakers but the mixtures of "
                    f"{test_set.name} have {test_set.n_src}: leave {test_set.name} out, or give a "
                    f"model of {test_set.n_src} speakers."
                )


def _name_apart(sets: "list[TestSet]", texts: list[str]) -> "list[TestSet]":
    """Sets of one name are called what the user wrote."""
    names = [test_set.name for test_set in sets]
    return [
        dataclasses.replace(test_set, name=text) if names.count(test_set.name) > 1 else test_set
        for test_set, text in zip(sets, texts, strict=True)
    ]


def _describe_model(model: "LoadedModel") -> ModelInfo:
    return ModelInfo(
        *(model.name, model.sha256, model.sample_rate, model.n_src),
        *(model.notes, model.published),
    )


def _tell(plan: Plan) -> dict[str, Any]:
    """What produced the comparison."""
    return {
        "command": shlex.join(["python", "-m", "separation", *sys.argv[1:]]),
        "commit": read_commit() or "unknown",
        "device": name_device(plan.estimators.device),
        "python": platform.python_version(),
        "versions": {name: find_version(name) for name in PACKAGES},
        "scorer_check": plan.estimators.tell_checks(),
    }
