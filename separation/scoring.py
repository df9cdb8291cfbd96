"""The scorer: SI-SDR and SDR of estimates and of the mixture, one record a mixture.

Conventions: float64; SI-SDR after removing means (Le Roux et al. 2019, eq. 3 with both signals
zero-mean); SDR of BSS Eval v3 with a 512-tap filter (Vincent et al. 2006), means kept;
the permutation that maximises mean SI-SDR serves all metrics; a record holds each source's
values, their plain mean, and the improvement over the mixture scored in the same way.
"""

import itertools

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import solve_toeplitz

from separation.errors import UserError

FILTER_TAPS = 512
CEILING_DB = 150.0  # of a perfect estimate, in place of infinity


def si_sdr_db(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Scale-invariant SDR in dB, with zero-mean signals.

    Args:
        references: ``(..., time)``.
        estimates: ``(..., time)``, broadcast against ``references``.

    Returns:
        ``(...)`` in dB, within +-150.

    >>> tone = np.sin(np.arange(800) * 0.1)
    >>> float(si_sdr_db(tone, 3 * tone)) == CEILING_DB
    True
    """
    references = np.asarray(references, np.float64)
    estimates = np.asarray(estimates, np.float64)
    references = references - references.mean(axis=-1, keepdims=True)
    estimates = estimates - estimates.mean(axis=-1, keepdims=True)
    energy = (references**2).sum(axis=-1, keepdims=True)
    scale = (references * estimates).sum(axis=-1, keepdims=True) / np.maximum(energy, 1e-30)
    target = scale * references
    residual = estimates - target
    return _ratio_db((target**2).sum(axis=-1), (residual**2).sum(axis=-1))


def sdr_db(reference: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """BSS Eval v3 SDR in dB of several estimates of one source.

    The target is the estimate's projection on the reference's 512 first delays: a symmetric
    Toeplitz system, solved once for all estimates (Vincent et al. 2006, sections III-IV).

    Args:
        reference: ``(time,)``.
        estimates: ``(n_estimates, time)``.

    Returns:
        ``(n_estimates,)`` in dB, within +-150.
    """
    reference = np.asarray(reference, np.float64)
    estimates = np.asarray(estimates, np.float64)
    n_samples = reference.shape[-1]
    n_fft = next_fast_len(n_samples + FILTER_TAPS, real=True)
    spectrum = rfft(reference, n_fft)
    autocorrelation = irfft(np.abs(spectrum) ** 2, n_fft)[:FILTER_TAPS]
    cross = irfft(np.conj(spectrum) * rfft(estimates, n_fft), n_fft)[:, :FILTER_TAPS]
    filters = solve_toeplitz(autocorrelation, cross.T).T
    targets = irfft(spectrum * rfft(filters, n_fft), n_fft)
    targets = targets[:, : n_samples + FILTER_TAPS - 1]
    padded = np.pad(estimates, ((0, 0), (0, FILTER_TAPS - 1)))
    return _ratio_db((targets**2).sum(axis=-1), ((padded - targets) ** 2).sum(axis=-1))


def _ratio_db(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    floor = 10 ** (-CEILING_DB / 10)
    signal, noise = np.maximum(signal, 1e-30), np.maximum(noise, 1e-30)
    ratio = np.clip(signal / noise, floor, 1 / floor)
    return 10 * np.log10(ratio)


def find_permutation(references: np.ndarray, estimates: np.ndarray) -> tuple[int, ...]:
    """Which estimate belongs to each reference: the permutation of the highest mean SI-SDR.

    Args:
        references, estimates: ``(n_src, time)``.
    """
    pairwise = si_sdr_db(references[:, None], estimates[None])
    n_src = len(references)
    return max(
        itertools.permutations(range(n_src)),
        key=lambda order: sum(pairwise[i, order[i]] for i in range(n_src)),
    )


def score_mixture(
    mixture: np.ndarray, references: np.ndarray, estimates: np.ndarray
) -> tuple[dict[str, float], tuple[int, ...]]:
    """Score one mixture's estimates and, in the same way, the mixture itself.

    Args:
        mixture: ``(time,)``.
        references, estimates: ``(n_src, time)``.

    Returns:
        a record with ``input_si_sdr, si_sdr, si_sdri, input_sdr, sdr, sdri`` (dB, means over
        sources; and ``si_sdri_k``, ``sdri_k`` of each source), and the permutation found.

    Raises:
        UserError: a silent reference, or values that are not finite.
    """
    if not np.isfinite(estimates).all():
        raise UserError("an estimate holds NaN or infinite samples.")
    if not references.any(axis=-1).all():
        raise UserError("a reference is silent, so no ratio to it exists.")
    order = find_permutation(references, estimates)
    record: dict[str, float] = {}
    ordered = estimates[list(order)]
    pairs = [np.stack([mixture, estimate]) for estimate in ordered]
    values = {
        "si_sdr": [si_sdr_db(ref[None], pair) for ref, pair in zip(references, pairs, strict=True)],
        "sdr": [sdr_db(ref, pair) for ref, pair in zip(references, pairs, strict=True)],
    }
    for metric, per_source in values.items():
        before, after = np.transpose(per_source)
        record[f"input_{metric}"] = float(before.mean())
        record[metric] = float(after.mean())
        record[f"{metric}i"] = float((after - before).mean())
        for number, gain in enumerate(after - before, 1):
            record[f"{metric}i_{number}"] = float(gain)
    return record, order
