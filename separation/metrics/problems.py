"""Problems of separated mixtures by name: silence, one voice twice, merged or swapped channels."""

import itertools

import numpy as np
from scipy.optimize import linear_sum_assignment

from separation.metrics.names import UNSCORABLE
from separation.metrics.si_sdr import ratios_of_gram_db

__all__ = ["PROBLEMS", "UNSCORABLE", "best_permutation", "find_confusions", "find_unscorable"]
PROBLEMS = {
    "silent-reference": "a reference is silent, or nothing but a constant: no ratio to it exists",
    "silent-mixture": "the mixture is silent, or nothing but a constant: it has no score",
    "zero-estimate": "an estimate is all zero, or nothing but a constant",
    "non-finite": "a signal holds NaN, infinite, or unboundedly large samples",
    "same-voice-twice": "two outputs hold the same voice, so that another one is lost",
    "merged-channels": "an output still holds two voices as the mixture does, another one or none",
    "channel-swap": "the outputs change places, from one second to another",
    "same-references": "two references are one signal: there is nothing to separate, so no score",
    "one-source": "with one source there is no interference, so SIR has no value",
    "stoi-failed": "STOI has no value: too short, or hardly any speech",
    "pesq-failed": "PESQ has no value: too short, or no speech found",
    "silent-in-16-bits": "rounded to 16 bits nothing is left of an estimate: no score of the file",
    "unreadable": "a file of the mixture cannot be read",
    "model-failed": "the model could not separate it: no memory, too short, or other outputs",
    "score-failed": "the scorer failed on it: no memory, or a fault that deserves a report",
}
SILENT_ENERGY = 1e-24  # of a signal's energy about its mean, to its energy with the mean
MARGIN_DB = 3.0  # above the unprocessed mixture, to count as separated
SAME = 1e-10  # of two references' energy apart, beyond which they are one signal: 100 dB
WINDOW_S = 1.0  # in which the permutation is searched, to find swaps
SHORTEST_WINDOW_S = 0.25
QUIET = 0.01  # of a reference's mean power: in a window 20 dB below, nobody can tell
MOST_APART_DB = 3.0  # two voices of an output, from their ratio in the mixture, to count as merged
LEAST_PRESENT = 0.1  # of the loudest voice's energy in an output: 10 dB below
LEAST_VOICES = 0.5  # of an output's energy that voices explain
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


def find_confusions(pairwise: np.ndarray, windows: np.ndarray) -> tuple[tuple[str, ...], int]:
    """Notes on estimates that have values but do not hold what they should; how often they swap.

    same-voice-twice: two estimates whose best reference is the same, and which are each nearer
    to it than the mixture is, by 3 dB. merged-channels: see :func:`_merges`. channel-swap: see
    :func:`count_swaps`. The rules are this project's own; they follow the chunk-wise look at
    SI-SDR improvement with which Zhao et al. (2022, "Target confusion in end-to-end speaker
    extraction") find wrong speakers.

    Args:
        pairwise: SI-SDR in dB, ``(n_src, n_src + 1)``: estimates, then the mixture.
        windows: inner products of all signals (references, estimates, mixture) in each window,
            ``(n_windows, 2 n_src + 1, 2 n_src + 1)``.
    """
    if len(pairwise) < 2:
        return (), 0
    n_swaps = count_swaps(windows, len(pairwise)) if len(windows) > 1 else 0
    holds = {
        "same-voice-twice": _repeats_voice(pairwise),
        # an output that changed places holds two voices over the whole mixture as well
        "merged-channels": not n_swaps and _merges(pairwise),
        "channel-swap": n_swaps > 0,
    }
    return tuple(name for name, is_so in holds.items() if is_so), n_swaps


def count_windows(duration_s: float) -> int:
    """Windows of about a second that a mixture is cut into; two at least, of 0.25 s or more.

    >>> [count_windows(seconds) for seconds in (0.4, 0.5, 2.4, 5.0)]
    [1, 2, 2, 5]
    """
    return max(2, round(duration_s / WINDOW_S)) if duration_s >= 2 * SHORTEST_WINDOW_S else 1


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


def _merges(pairwise: np.ndarray) -> bool:
    """Whether an output holds two voices as the mixture does, while another holds one or none.

    The share of a voice in a signal is the squared cosine between both, SI-SDR by another name.
    An output is merged whose two loudest voices lie within 10 dB, stand to one another as in
    the mixture within 3 dB, and are half of its energy or more. The unprocessed mixture, and a
    model all of whose outputs are like it, separate nothing; their SI-SDRi says so.
    """
    ratios = 10 ** (pairwise / 10)
    shares = ratios / (1 + ratios)
    estimates, mixture = shares[:, :-1], shares[:, -1]
    columns = np.arange(estimates.shape[1])
    first, second = np.argsort(-estimates, axis=0)[:2]
    loudest, other = estimates[first, columns], estimates[second, columns]
    lacking = loudest + other < LEAST_VOICES
    alone = lacking | (other < LEAST_PRESENT * loudest)
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = 10 * np.log10((loudest * mixture[second]) / (other * mixture[first]))
    return bool(alone.any() and (~alone & (np.abs(moved) <= MOST_APART_DB)).any())


def count_swaps(windows: np.ndarray, n_src: int) -> int:
    """How often the outputs change places: between windows of about a second that leave no doubt.

    In such a window no source is quiet, and its best permutation is better than the mixture and
    than any other permutation, by 3 dB each.

    Args:
        windows: inner products, see :func:`find_confusions`.
    """
    energies = np.diagonal(windows, axis1=1, axis2=2)[:, :n_src]
    loud = (energies > QUIET * energies.mean(axis=0)).all(axis=1)
    if loud.sum() < 2:
        return 0
    ratios = ratios_of_gram_db(windows[loud], n_src)
    orders = _list_orders(ratios)
    means = ratios[:, np.arange(n_src), orders].mean(axis=-1)  # (window, order)
    second, best = np.sort(means, axis=1)[:, -2:].T
    certain = best >= np.maximum(second, ratios[..., -1].mean(axis=1)) + MARGIN_DB
    return int(np.count_nonzero(np.diff(means.argmax(axis=1)[certain])))


def _list_orders(ratios: np.ndarray) -> np.ndarray:
    """Permutations to choose of, ``(n_orders, n_src)``: all, or of many sources the best ones."""
    n_src = ratios.shape[1]
    if n_src <= MOST_TRIED:
        return np.array(list(itertools.permutations(range(n_src))))
    best = {best_permutation(window[:, :-1]) for window in ratios} | {tuple(range(n_src))}
    return np.array(sorted(best | {tuple(range(n_src))[::-1]}))
