"""Self-check of the scorer, on a sample of what is scored, against mir_eval and a definition."""

import dataclasses
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict
from warnings import catch_warnings, simplefilter

import numpy as np

from separation.metrics.score import Score, score_mixture
from separation.metrics.si_sdr import CEILING_DB
from separation.mixtures.signals import Mixture
from separation.text import explain_error

logger = logging.getLogger(__name__)

CHECKED = ("si_sdr", "sdr", "sir", "sar")
SAMPLE_RATE = 8000  # Hz; nothing that is compared depends on it
LONGEST_S = 300.0  # of a mixture that is checked: mir_eval takes 200 MB a minute
ALIKE_DB = 100.0  # beyond it values count as equal: rounding errors of either side
# mir_eval's own rounding moves SIR and SAR of tones by tenths of a dB
CHECK_TOLERANCES_DB = {"si_sdr": 1e-4, "sdr": 1e-4, "sir": 0.5, "sar": 0.5}


class CheckRecord(TypedDict):
    """A :class:`ScorerCheck` in a journal."""

    n: int
    largest_db: float
    seconds: float
    by_metric: dict[str, float]
    doubts: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ScorerCheck:
    """How far the scorer and the reference implementations lie apart.

    Attributes:
        n: mixtures compared; what cannot be scored is not.
        largest_db: largest absolute difference of any value of any source, in dB; 0 for n = 0.
        seconds: wall time taken.
        by_metric: the largest difference of each metric.
        warnings: sentences on mixtures whose scores lie too far apart.
    """

    n: int
    largest_db: float
    seconds: float
    by_metric: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_record(self) -> CheckRecord:
        """As a journal holds it."""
        return {
            "n": self.n,
            "largest_db": self.largest_db,
            "seconds": self.seconds,
            "by_metric": self.by_metric,
            "doubts": self.warnings,
        }


def parse_check(record: CheckRecord) -> ScorerCheck:
    """What :meth:`ScorerCheck.as_record` gave."""
    return ScorerCheck(
        n=record["n"],
        largest_db=record["largest_db"],
        seconds=record["seconds"],
        by_metric=record["by_metric"],
        warnings=tuple(record["doubts"]),
    )


def join_checks(checks: Sequence[ScorerCheck]) -> ScorerCheck:
    """Several checks as one."""
    names = dict.fromkeys(name for check in checks for name in check.by_metric)
    largest = {
        name: _find_largest([check.by_metric.get(name, 0.0) for check in checks]) for name in names
    }
    return ScorerCheck(
        n=sum(check.n for check in checks),
        largest_db=_find_largest([check.largest_db for check in checks]),
        seconds=sum(check.seconds for check in checks),
        by_metric=largest,
        warnings=tuple(text for check in checks for text in check.warnings),
    )


def _find_largest(values: Sequence[float]) -> float:
    """np.max hands on a NaN, which max() would drop where it does not come first."""
    return float(np.max(values, initial=0.0))


@dataclass
class Checker:
    """Compares the scorer with mir_eval on mixtures spread over those still to be scored.

    Attributes:
        wanted: places of the mixtures to check on.
        metrics: that are scored.
        checks: made so far.
    """

    wanted: list[int]
    metrics: tuple[str, ...]
    checks: list[ScorerCheck] = field(default_factory=list)

    def is_due(self, place: int) -> bool:
        """Whether :meth:`check` would check on the mixture of a place."""
        return bool(self.wanted) and place >= self.wanted[0]

    def check(self, place: int, mixture: Mixture, estimates: np.ndarray) -> None:
        """Check on this mixture if the next one wanted is not behind it, and it can be scored."""
        if not self.is_due(place) or not _can_be_scored(mixture, estimates):
            return
        signals = _cut_middle(mixture, estimates)
        try:
            check = check_scorer([signals], self.metrics)
        except Exception as error:  # the row will say whether it can be scored
            logger.warning("%s: cannot be checked: %s", mixture.mixture_id, explain_error(error))
            return
        if not check.n:
            return
        self.wanted.pop(0)
        warnings = [
            _explain_difference(mixture.mixture_id, metric, apart_db)
            for metric, apart_db in check.by_metric.items()
            # a NaN is no agreement
            if not apart_db <= CHECK_TOLERANCES_DB[metric]
        ]
        for text in warnings:
            logger.error("%s", text)
        self.checks.append(dataclasses.replace(check, warnings=tuple(warnings)))


def _cut_middle(
    mixture: Mixture, estimates: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mixture, sources and estimates; of a long one a part, since mir_eval keeps many copies."""
    n_samples, n_kept = len(mixture.mixture), round(LONGEST_S * mixture.sample_rate)
    start = max(0, (n_samples - n_kept) // 2)
    part = slice(start, start + n_kept)
    return mixture.mixture[part], mixture.sources[:, part], estimates[:, part]


def _can_be_scored(mixture: Mixture, estimates: np.ndarray) -> bool:
    """Whether a model gave what a scorer takes; if not, the mixture's row says why."""
    if np.shape(estimates) != mixture.sources.shape:
        return False
    signals = (mixture.mixture[None], mixture.sources, estimates)
    return all(np.isfinite(part).all() and part.any(axis=-1).all() for part in signals)


def _explain_difference(mixture_id: str, metric: str, apart_db: float) -> str:
    return (
        f"mixture {mixture_id}: the scorer and mir_eval differ by {apart_db:.2g} dB in {metric}, "
        f"more than {CHECK_TOLERANCES_DB[metric]:g}: do not trust these scores; report it with "
        "the versions of NumPy and SciPy."
    )


def check_scorer(
    mixtures: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    metrics: Sequence[str] = ("si_sdr", "sdr"),
) -> ScorerCheck:
    """Score mixtures both ways: ours, and mir_eval's SDR, SIR, SAR and SI-SDR as it is defined.

    Args:
        mixtures: (mixture ``(time,)``, references and estimates ``(n_src, time)``) each; one takes
            about a second at 5 s, 8 kHz, two sources.
        metrics: those that are compared; STOI and PESQ are not, being their packages' own. SIR and
            SAR hold to 1e-6 dB for recorded speech; where the references' delays are all but
            dependent (tones, steep filters) mir_eval's own rounding moves them by tenths of a dB.
    """
    compared = [metric for metric in metrics if metric in CHECKED]
    if not compared:
        return ScorerCheck(n=0, largest_db=0.0, seconds=0.0)
    began, n = time.monotonic(), 0
    apart: dict[str, list[float]] = {metric: [] for metric in compared}
    for mixture, references, estimates in mixtures:
        score = score_mixture(mixture, references, estimates, SAMPLE_RATE, compared)
        if not score.permutation:
            continue
        ordered = estimates[list(score.permutation)]
        theirs = {"": score_with_references(references, ordered)}
        theirs["input_"] = score_with_references(references, np.stack([mixture] * len(references)))
        for prefix, tables in theirs.items():
            for metric in compared:
                apart[metric].append(_compare(score, f"{prefix}{metric}", tables[metric]))
        n += 1
    largest = {metric: _find_largest(values) for metric, values in apart.items()}
    return ScorerCheck(
        n=n,
        largest_db=_find_largest([*largest.values()]),
        seconds=time.monotonic() - began,
        by_metric=largest,
    )


def _compare(score: Score, name: str, values: np.ndarray) -> float:
    """Largest difference of one metric's values, in dB; 0 where ours has none, and says so."""
    ours = [score.values.get(f"{name}_{k}") for k in range(1, len(values) + 1)]
    if None in ours:
        return 0.0
    both = np.clip([np.array(ours, np.float64), values], -ALIKE_DB, ALIKE_DB)
    return float(np.abs(both[0] - both[1]).max())


def score_with_references(references: np.ndarray, estimates: np.ndarray) -> dict[str, np.ndarray]:
    """SI-SDR by definition, SDR, SIR, SAR by mir_eval, within +-150 dB, ``(n_src,)`` each.

    Args:
        references, estimates: ``(n_src, time)``; estimate i belongs to reference i.
    """
    from mir_eval.separation import bss_eval_sources

    references = np.asarray(references, np.float64)
    estimates = np.asarray(estimates, np.float64)
    with catch_warnings(), np.errstate(divide="ignore"):
        # mir_eval announces that the function leaves in 0.9; 0.8.2 is pinned
        simplefilter("ignore", FutureWarning)
        simplefilter("ignore", DeprecationWarning)
        sdr, sir, sar, _ = bss_eval_sources(references, estimates, compute_permutation=False)
        si_sdr = define_si_sdr_db(references, estimates)
    tables = {"si_sdr": si_sdr, "sdr": sdr, "sir": sir, "sar": sar}
    return {name: np.clip(values, -CEILING_DB, CEILING_DB) for name, values in tables.items()}


def define_si_sdr_db(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """SI-SDR by Le Roux et al. 2019, eq. 3, sample by sample, in extended precision.

    pb_bss_eval's is no reference to 1e-6 dB: it adds 1e-8 to both energies and to the ratio, which
    moves 40 dB of speech at the usual levels by some 1e-6 dB, and -25 dB by 1e-5 dB.

    Args:
        references, estimates: ``(n_src, time)``; estimate i belongs to reference i.
    """
    references, estimates = (np.asarray(x, np.longdouble) for x in (references, estimates))
    references = references - references.mean(axis=-1, keepdims=True)
    estimates = estimates - estimates.mean(axis=-1, keepdims=True)
    products = (references * estimates).sum(axis=-1) / (references**2).sum(axis=-1)
    target = products[:, None] * references
    noise = ((estimates - target) ** 2).sum(axis=-1)
    return np.asarray(10 * np.log10((target**2).sum(axis=-1) / noise), np.float64)
