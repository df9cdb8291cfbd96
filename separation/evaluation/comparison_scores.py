"""The matrix of a comparison: a test set x its estimators -> rows, and what is to be said of it."""

import dataclasses
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from local.known_librimix import judge_input, recognise
from separation.config import EvaluationConf
from separation.evaluation.comparison import FLOOR, ScoredSet, name_standard
from separation.evaluation.estimators import (
    estimate_mixture,
    make_model_estimator,
    make_oracle_mask,
)
from separation.evaluation.runner import Evaluation, Scoring, evaluate_set
from separation.evaluation.scoring_check import ScorerCheck, join_checks
from separation.evaluation.test_sets import TestSet, tell_type
from separation.files import hash_text, hash_value
from separation.mixtures.render import Mixture
from separation.models.loading import LoadedModel

Unscored = dict[str, list[dict[str, Any]]]  # by estimator, the rows without scores
logger = logging.getLogger(__name__)

TASKS = {"mix_clean": "sep_clean", "mix_both": "sep_noisy"}
MAX_NAME = 120  # characters of a file's name


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
            own = self.models[name]
            # a file of weights alone takes its architecture from a conf.yml
            arguments = own.model.get_model_args()  # type: ignore[operator]
            built = [type(own.model).__name__, sorted(map(str, arguments.items()))]
            return hash_value([own.sha256, own.sample_rate, built, self.device.type])
        return hash_value([name, self.conf.stft_window_s, self.conf.stft_hop_s])

    def open(self, name: str) -> Callable[[Mixture], np.ndarray]:
        """The estimator itself."""
        if name in self.models:
            return make_model_estimator(self.models[name].model, self.device)
        if name == FLOOR:
            return estimate_mixture
        return make_oracle_mask(name, self.conf, self.base_rate)

    def separate(self, test_set: TestSet, name: str, mixture_id: str) -> tuple[Mixture, np.ndarray]:
        """One mixture and an estimator's ``(n_src, time)``, at the estimator's rate."""
        names = [row["mixture_ID"] for row in test_set.rows]
        mixture = test_set.at(self.rate(name))[names.index(mixture_id)]
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
    return text[-MAX_NAME:] or "unnamed"


def score_set(
    test_set: TestSet, estimators: Estimators, scoring: Scoring, folder: Path
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
        label, path = f"{test_set.name} {name}", folder / f"{files[name]}.csv"
        n_checked = scoring.n_checked if name in estimators.models else 0
        found = evaluate_set(
            *(test_set.at(rate), estimators.open(name), path),
            *(dataclasses.replace(scoring, n_checked=n_checked), label, estimators.key(name)),
        )
        rows[name] = found.rows
        notes_of[name] = test_set.tell_rate(rate)
        unscored[name] = found.unscored()
        _keep_check(estimators, label, found)
    judged = judge_set(test_set, rows[FLOOR], estimators)
    scored = ScoredSet(
        *(test_set.name, test_set.kind, estimators.base_rate, test_set.n_src),
        *(len(test_set.rows), test_set.fingerprint or hash_rows(rows[FLOOR])),
        (*test_set.notes, *_tell_rates(estimators), *judged),
        rows=rows,
        notes_of=notes_of,
        standard=name_published(test_set, judged, estimators),
    )
    return scored, unscored


def _keep_check(estimators: Estimators, label: str, found: Evaluation) -> None:
    if found.check:
        estimators.checks[label] = found.check


def hash_rows(rows: list[dict[str, Any]]) -> str:
    """Fingerprint of a set's audio, as stage 5 states it."""
    return hash_text("\n".join(row.get("audio", "") for row in rows))


def _tell_rates(estimators: Estimators) -> tuple[str, ...]:
    if len({estimators.rate(name) for name in estimators.models}) == 1:
        return ()
    return (
        f"The mixture and the oracles are scored at {estimators.base_rate} Hz, the rate of the "
        "first model; every model at its own.",
    )


def name_published(
    test_set: TestSet, judged: tuple[str, ...], estimators: Estimators
) -> tuple[str, ...]:
    """Published test sets that this one is, as :func:`name_standard` calls them.

    Whole, in min mode, at its own rate, and with nothing that :func:`judge_set` warns of.
    """
    name, _ = recognise(test_set.rows)
    if not name.endswith("test-clean") or any(text.startswith("WARNING") for text in judged):
        return ()
    if not test_set.in_min_mode():
        return ()
    task = TASKS.get(tell_type(test_set.rows, test_set.setting))
    rates = {estimators.rate(model) for model in estimators.models}
    own = sorted(rate for rate in rates if test_set.own_rate in (0, rate))
    title = f"Libri{test_set.n_src}Mix test, min"
    return tuple(name_standard(f"{title}, {rate // 1000} kHz", task) for rate in own if task)


def judge_set(
    test_set: TestSet, rows: list[dict[str, Any]], estimators: Estimators
) -> tuple[str, ...]:
    """Whether a set that bears a published list's mixture IDs holds the published mixtures."""
    name, same = recognise(test_set.rows)
    if not name:
        return ()
    if not same:
        text = (
            f"WARNING: it has the mixture IDs of the published {name} but other paths or gains: "
            "THESE ARE NOT THE STANDARD MIXTURES."
        )
        logger.warning("%s: %s", test_set.name, text)
        return (text,)
    notes = [f"The published list {name} (by its mixture IDs; {len(rows)} mixtures)."]
    values = [row["input_si_sdr"] for row in rows if "input_si_sdr" in row]
    if test_set.in_min_mode() and len(values) == len(rows):
        kind = tell_type(test_set.rows, test_set.setting)
        text, warned = judge_input(name, kind, estimators.base_rate, float(np.mean(values)))
        notes += [text] if text else []
        if warned:
            logger.warning("%s: %s", test_set.name, text)
    return tuple(notes)
