"""Scores of one mixture: its estimates and, in the same way, the unprocessed mixture.

Conventions: float64; SI-SDR after removing means (si_sdr.py), BSS Eval v3 with them (bss_eval.py);
the permutation that maximises mean SI-SDR serves all metrics; means are plain means over sources.
What cannot be scored is named, never averaged in (PROBLEMS).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separation.errors import UserError
from separation.metrics.bss_eval import project_on_all_db, project_on_each_db, sdr_db
from separation.metrics.names import METRICS, PERCEPTUAL
from separation.metrics.perceptual import check_perceptual, score_perceptual
from separation.metrics.problems import (
    PROBLEMS,
    UNSCORABLE,
    best_permutation,
    count_windows,
    find_confusions,
    find_same_references,
    find_unscorable,
)
from separation.metrics.si_sdr import CEILING_DB, multiply_windows, pairwise_si_sdr_db, si_sdr_db

__all__ = [
    "CEILING_DB",
    "METRICS",
    "PROBLEMS",
    "UNSCORABLE",
    "Score",
    "check_metrics",
    "find_permutation",
    "score_mixture",
    "sdr_db",
    "si_sdr_db",
]


@dataclass(frozen=True)
class Score:
    """One mixture's scores.

    Attributes:
        values: of metric m ``input_m`` (the mixture), ``m`` (the estimates) and ``mi`` (the
            improvement), means over sources, and the same of each source k as ``m_k``; dB, but
            for STOI (0..1) and PESQ. No improvement of SAR: the mixture has no artefacts.
        permutation: estimate index of each reference; empty where nothing could be scored.
        problems: names out of PROBLEMS; one of UNSCORABLE comes with no values.
        n_swaps: how often the outputs change places.
    """

    values: dict[str, float]
    permutation: tuple[int, ...]
    problems: tuple[str, ...]
    n_swaps: int = 0


def check_metrics(metrics: Sequence[str], sample_rate: int) -> None:
    """See that metrics can be computed at a rate in Hz, before work starts.

    Raises:
        UserError: an unknown or missing metric, a package that is not installed, a rate.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        wanted = f"there is no metric {unknown[0]!r}" if unknown else "no metric is asked for"
        raise UserError(f"{wanted}; choose from {', '.join(METRICS)}.")
    check_perceptual(tuple(metrics), sample_rate)


def find_permutation(references: np.ndarray, estimates: np.ndarray) -> tuple[int, ...]:
    """Which estimate belongs to each reference: the permutation of the highest mean SI-SDR.

    Args:
        references, estimates: ``(n_src, time)``.
    """
    return best_permutation(si_sdr_db(references[:, None], estimates[None]))


def score_mixture(
    mixture: np.ndarray,
    references: np.ndarray,
    estimates: np.ndarray,
    sample_rate: int,
    metrics: Sequence[str] = ("si_sdr", "sdr"),
) -> Score:
    """Score one mixture's estimates and, in the same way, the mixture itself.

    Args:
        mixture: ``(time,)``, floating-point or integer samples.
        references, estimates: ``(n_src, time)``.
        sample_rate: Hz; only STOI and PESQ, and the windows of a swap, depend on it.
        metrics: out of METRICS; see ``check_metrics``.

    Raises:
        UserError: shapes that do not fit together.
    """
    _check_shapes(mixture, references, estimates)
    n_src, n_samples = references.shape
    signals = np.concatenate([references, estimates, mixture[None]], dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # named as a problem below
        windows, means = multiply_windows(signals, count_windows(n_samples / sample_rate))
        gram = windows.sum(axis=0)
        energies = np.diag(gram) + n_samples * means**2
    unscorable = find_unscorable(np.diag(gram), energies, n_src)
    if not {"non-finite", "silent-reference"} & set(unscorable):
        # the mixture itself would score 150 dB and a binary mask nothing: no mean may hold it
        unscorable += ("same-references",) if find_same_references(gram, n_src) else ()
    if unscorable:
        return Score({}, (), unscorable)
    pairwise = pairwise_si_sdr_db(signals, gram, n_src)
    order = best_permutation(pairwise[:, :-1])
    confusions, n_swaps = find_confusions(pairwise, windows)
    problems = list(confusions)
    tables = {"si_sdr": np.stack([pairwise[:, -1], pairwise[range(n_src), order]])}
    rows = [[2 * n_src, n_src + estimate] for estimate in order]  # mixture, estimate
    if "sdr" in metrics:
        tables["sdr"] = project_on_each_db(signals, rows, energies)
    tables |= _score_others(signals, rows, sample_rate, metrics, problems)
    values: dict[str, float] = {}
    for metric in metrics:
        if metric in tables:
            values |= _list_values(metric, *tables[metric])
    return Score(values, order, tuple(problems), n_swaps)


def _score_others(
    signals: np.ndarray,
    rows: list[list[int]],
    sample_rate: int,
    metrics: Sequence[str],
    problems: list[str],
) -> dict[str, np.ndarray]:
    """SIR, SAR, STOI, PESQ, ``(2, n_src)`` each: mixture, estimates; appends to problems."""
    n_src = len(rows)
    tables: dict[str, np.ndarray] = {}
    if {"sir", "sar"} & set(metrics):
        tables |= project_on_all_db(signals, rows)
    if n_src == 1 and "sir" in metrics:
        del tables["sir"]
        problems.append("one-source")
    pairs = [(signals[i], signals[rows[i][place]]) for place in (0, 1) for i in range(n_src)]
    for metric in (name for name in PERCEPTUAL if name in metrics):
        values = score_perceptual(metric, pairs, sample_rate)
        if values is None:
            problems.append(f"{metric}-failed")
        else:
            tables[metric] = values.reshape(2, n_src)
    return tables


def _list_values(metric: str, before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    named = {f"input_{metric}": before, metric: after}
    if metric != "sar":
        named[f"{metric}i"] = after - before
    means = {name: float(scores.mean()) for name, scores in named.items()}
    return means | {
        f"{name}_{k}": float(value)
        for name, scores in named.items()
        for k, value in enumerate(scores, 1)
    }


def _check_shapes(mixture: np.ndarray, references: np.ndarray, estimates: np.ndarray) -> None:
    if references.ndim != 2 or references.shape != estimates.shape or mixture.ndim != 1:
        raise UserError(
            f"references {references.shape}, estimates {estimates.shape} and mixture"
            f" {mixture.shape} do not fit together: give (n_src, time) twice, of equal lengths, and"
            " (time,)."
        )
    if references.shape[-1] != len(mixture) or not references.size:
        raise UserError(
            f"the mixture has {len(mixture)} samples and its references have"
            f" {references.shape[-1]}: they must be of one length, and not empty."
        )
