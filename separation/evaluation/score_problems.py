"""What is wrong with a mixture's estimates, by name, from SI-SDRs."""

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

from separation.evaluation.si_sdr import ratios_of_gram_db

PROBLEMS = {
    "silent-reference": "a reference is silent, or nothing but a constant: no ratio to it exists",
    "silent-mixture": "the mixture is silent, or nothing but a constant: it has no score",
    "zero-estimate": "an estimate is all zero, or nothing but a constant",
    "non-finite": "a signal holds NaN, infinite, or unboundedly large samples",
    "same-voice-twice": "two outputs hold the same voice, so that another one is lost",
    "channel-swap": "the outputs change places between the first and the second half",
    "same-references": "two references are one signal: which is which, SIR and SAR mean nothing",
    "one-source": "with one source there is no interference, so SIR has no value",
    "stoi-failed": "STOI has no value: too short, or hardly any speech",
    "pesq-failed": "PESQ has no value: too short, or no speech found",
    "silent-in-16-bits": "rounded to 16 bits nothing is left of an estimate: no score of the file",
    "unreadable": "a file of the mixture cannot be read",
    "model-failed": "the model could not separate it: no memory, too short, or other outputs",
    "score-failed": "the scorer failed on it: no memory, or a fault that deserves a report",
}
UNSCORABLE = frozenset(
    {
        *("silent-reference", "silent-mixture", "zero-estimate", "non-finite", "unreadable"),
        *("model-failed", "score-failed"),
    }
)
SILENT_ENERGY = 1e-24  # of a signal's energy about its mean, to its energy with the mean
MARGIN_DB = 3.0  # above the unprocessed mixture, to count as separated
SAME = 1e-10  # of two references' energy apart, beyond which they are one signal: 100 dB
QUIET_HALF = 1e-6  # of a reference's energy: 60 dB below the other half
SHORTEST_HALF_S = 0.25
MOST_TRIED = 3  # sources, up to which all permutations are tried


def best_permutation(pairwise: np.ndarray) -> tuple[int, ...]:
    """Estimate index of each reference in the assignment of the highest mean.

    Args:
        pairwise: ``(n_references, n_estimates)`` in dB.

    >>> best_permutation(np.array([[1.0, 9.0], [2.0, 3.0]]))
    (1, 0)
    """
    n_src = len(pairwise)
    if n_src > MOST_TRIED:
        return tuple(int(j) for j in linear_sum_assignment(pairwise, maximize=True)[1])
    rows = range(n_src)
    return max(
        itertools.permutations(rows), key=lambda order: sum(pairwise[i, order[i]] for i in rows)
    )


def find_unscorable(energies: np.ndarray, raw: np.ndarray, n_src: int) -> tuple[str, ...]:
    """Problems that leave a mixture without values.

    Args:
        energies: of references, estimates, and the mixture, about their means.
        raw: the same with their means.
        n_src: number of references.
    """
    if not (np.isfinite(energies) & np.isfinite(raw)).all():
        return ("non-finite",)
    silent = energies <= SILENT_ENERGY * raw
    groups = {
        "silent-reference": silent[:n_src],
        "zero-estimate": silent[n_src:-1],
        "silent-mixture": silent[-1:],
    }
    return tuple(name for name, group in groups.items() if group.any())


def find_confusions(pairwise: np.ndarray, halves: np.ndarray, half_s: float) -> tuple[str, ...]:
    """Notes on estimates that have values but do not hold what they should.

    same-voice-twice: two estimates whose best reference is the same, and which are each nearer
    to it than the mixture is, by 3 dB. channel-swap: the halves prefer different permutations,
    each better there than the mixture and than the other half's permutation, by 3 dB. Both rules
    are this project's own; they follow the chunk-wise look at SI-SDR improvement with which
    Zhao et al. (2022, "Target confusion in end-to-end speaker extraction") find wrong speakers.

    Args:
        pairwise: SI-SDR in dB, ``(n_src, n_src + 1)``: estimates, then the mixture.
        halves: inner products of all signals (references, estimates, mixture) in the first and
            second half, ``(2, 2 n_src + 1, 2 n_src + 1)``.
        half_s: duration of a half.
    """
    if len(pairwise) < 2:
        return ()
    problems = ["same-voice-twice"] if _repeats_voice(pairwise) else []
    if half_s >= SHORTEST_HALF_S and _swaps(halves, len(pairwise)):
        problems.append("channel-swap")
    return tuple(problems)


def find_same_references(gram: np.ndarray, n_src: int) -> bool:
    """Whether two references are one signal up to a factor; ``gram`` of all references."""
    energies, among = np.diag(gram)[:n_src], gram[:n_src, :n_src]
    cosines = among**2 / np.outer(energies, energies)
    return bool((np.triu(1 - cosines, 1) + np.tri(n_src) < SAME).any())


def _repeats_voice(pairwise: np.ndarray) -> bool:
    estimates, mixture = pairwise[:, :-1], pairwise[:, -1]
    best = estimates.argmax(axis=0)
    above = estimates.max(axis=0) > mixture[best] + MARGIN_DB
    return len(set(best[above].tolist())) < int(above.sum())


def _swaps(halves: np.ndarray, n_src: int) -> bool:
    energies = np.stack([np.diag(half) for half in halves])
    if (energies.min(axis=0) <= QUIET_HALF * energies.max(axis=0)).any():
        return False
    ratios = [ratios_of_gram_db(half, n_src) for half in halves]
    orders = [best_permutation(half[:, :-1]) for half in ratios]
    if orders[0] == orders[1]:
        return False
    rows = np.arange(n_src)
    for half, own, other in zip(ratios, orders, orders[::-1], strict=True):
        lead = half[rows, list(own)].mean() - MARGIN_DB
        if lead <= half[:, -1].mean() or lead <= half[rows, list(other)].mean():
            return False
    return True
