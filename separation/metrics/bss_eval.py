"""BSS Eval v3: SDR, SIR and SAR of single-channel sources with filters of 512 taps, in float64.

An estimate is split by least squares (Vincent, Gribonval and Févotte 2006, sections III and IV):
the target is its projection on the first 512 delays of its reference, target and interference
together its projection on those delays of all references, artefacts the rest. Means are kept.
Equal to ``mir_eval.separation.bss_eval_sources`` without its search for a permutation, but each
signal is transformed once, correlations are summed over blocks that fit the cache, and one
system serves the estimate and the mixture.
"""

from collections.abc import Sequence

import numpy as np
from scipy.fft import irfft, rfft
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_toeplitz, toeplitz
from scipy.signal import oaconvolve

from separation.metrics.si_sdr import ratio_db

FILTER_TAPS = 512
BLOCK_FFT = 3072  # faster than 2048, 4096, and one long transform of 5 s at 8 kHz
BLOCK = BLOCK_FFT - FILTER_TAPS + 1
BLOCKS_AT_ONCE = 16  # bounds the memory of long recordings
MOST_BACKWARD_ERROR = 1e-13  # of Levinson's solution; LAPACK's has 1e-16
LEAST_RESIDUAL = 1e-5  # of the filter's gain in energy; see _split_energies
MOST_GAIN = 1e4  # of a filter over its output, in energy, up to which fast solvers are exact
DEPENDENT_GAIN = 1e12  # beyond it even LU's filter is rounding errors, magnified


def sdr_db(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """SDR of BSS Eval v3 in dB, estimate k against reference k; no permutation is searched.

    Args:
        references, estimates: ``(n_src, time)`` of any real type; float64 inside, means are kept.

    Returns:
        ``(n_src,)`` in dB, within +-150.
    """
    signals, rows = _stack(references, estimates)
    energies = np.einsum("kt,kt->k", signals, signals)
    return project_on_each_db(signals, rows, energies)[0]


def bss_eval_db(references: np.ndarray, estimates: np.ndarray) -> dict[str, np.ndarray]:
    """SDR, SIR and SAR of BSS Eval v3 in dB, estimate k against reference k.

    No permutation is searched. With one source SIR says nothing: it is at its ceiling.

    Args:
        references, estimates: ``(n_src, time)`` of any real type; float64 inside, means are kept.

    Returns:
        ``sdr``, ``sir`` and ``sar``, ``(n_src,)`` each, in dB within +-150.
    """
    signals, rows = _stack(references, estimates)
    tables = {"sdr": sdr_db(references, estimates)[None]} | project_on_all_db(signals, rows)
    return {name: values[0] for name, values in tables.items()}


def _stack(references: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """References and then estimates, and of each reference the one signal that is measured."""
    n_src = len(references)
    signals = np.concatenate([references, estimates], dtype=np.float64)
    return signals, [[n_src + k] for k in range(n_src)]


def project_on_each_db(
    signals: np.ndarray, rows: Sequence[Sequence[int]], energies: np.ndarray
) -> np.ndarray:
    """SDR in dB: projections on the delays of each signal's own reference.

    Args:
        signals: ``(n_signals, time)`` float64, the references first.
        rows: of each reference the numbers of the signals that are measured against it.
        energies: ``(n_signals,)``, with the means.

    Returns:
        ``(n_rows, n_src)``, one row for each place in ``rows``.
    """
    n_src, n_rows = len(rows), len(rows[0])
    pairs = [(i, j) for i in range(n_src) for j in (i, *rows[i])]
    products = correlate(signals[:n_src], signals, pairs)
    values = []
    for i, own in enumerate(products.reshape(n_src, n_rows + 1, FILTER_TAPS)):
        measured = [signals[j] for j in rows[i]]
        parts = _split_energies(signals[i], measured, energies[rows[i]], own[0], own[1:])
        values.append(ratio_db(*parts))
    return np.transpose(values)


def project_on_all_db(signals: np.ndarray, rows: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """SIR and SAR in dB: projections on the delays of all references.

    Costs a system of ``512 n_src`` unknowns, solved once, and residuals sample by sample.

    Args:
        signals: ``(n_signals, time)`` float64, the references first.
        rows: of each reference the numbers of the signals that are measured against it.

    Returns:
        ``sir`` and ``sar``, ``(n_rows, n_src)`` each.
    """
    n_src, n_rows = len(rows), len(rows[0])
    pairs = [(i, j) for i in range(n_src) for j in range(len(signals))]
    products = correlate(signals[:n_src], signals, pairs).reshape(n_src, -1, FILTER_TAPS)
    filters = _solve_all(products[:, :n_src], products[:, n_src:])
    explained = [oaconvolve(signals[:n_src], taps, axes=-1).sum(axis=0) for taps in filters]
    sir, sar = np.empty((n_rows, n_src)), np.empty((n_rows, n_src))
    for i, measured in enumerate(rows):
        own = solve_system(products[i, i], products[i, list(measured)])
        for row, (taps, which) in enumerate(zip(own, measured, strict=True)):
            whole = explained[which - n_src]
            artefacts = whole.copy()
            artefacts[: signals.shape[-1]] -= signals[which]
            target = oaconvolve(signals[i], taps)
            sir[row, i] = ratio_db(_energy(target), _energy(whole - target))
            sar[row, i] = ratio_db(_energy(whole), _energy(artefacts))
    return {"sir": sir, "sar": sar}


def correlate(
    references: np.ndarray, signals: np.ndarray, pairs: list[tuple[int, int]]
) -> np.ndarray:
    """Correlations at the first 512 lags: ``sum_n references[i, n] signals[j, n + lag]``.

    The sum over blocks of a reference's samples, each against as many of the signal's and 511
    more, is taken in the frequency domain, so one short inverse transform ends it (the
    overlap-save method).

    Args:
        references: ``(n_references, time)`` float64.
        signals: ``(n_signals, time)`` float64.
        pairs: (i, j) of what is wanted.

    Returns:
        ``(n_pairs, 512)``.
    """
    n_samples = references.shape[-1]
    sums = np.zeros((len(pairs), BLOCK_FFT // 2 + 1), np.complex128)
    for start in range(0, n_samples, BLOCK * BLOCKS_AT_ONCE):
        n_blocks = min(BLOCKS_AT_ONCE, -(-(n_samples - start) // BLOCK))
        end = start + n_blocks * BLOCK
        blocks = _cut(references, start, end).reshape(len(references), n_blocks, BLOCK)
        windows = np.lib.stride_tricks.sliding_window_view(
            _cut(signals, start, end + FILTER_TAPS - 1), BLOCK_FFT, axis=-1
        )[:, ::BLOCK]
        of_blocks = rfft(blocks, BLOCK_FFT, workers=1).conj()
        of_windows = rfft(windows, workers=1)
        for total, (i, j) in zip(sums, pairs, strict=True):
            total += (of_blocks[i] * of_windows[j]).sum(axis=0)
    return irfft(sums, BLOCK_FFT, workers=1)[:, :FILTER_TAPS]


def solve_system(autocorrelation: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Filters ``(n, 512)`` that project on a reference's delays: symmetric Toeplitz systems.

    Levinson's recursion is as stable as Cholesky's factors where the matrix is positive definite
    (Cybenko 1980) and six times as fast; its solution is put to the test, and where it fails,
    the dense matrix is solved as mir_eval does.

    Args:
        autocorrelation: ``(512,)``.
        cross: ``(n, 512)``.
    """
    try:
        filters = solve_toeplitz(autocorrelation, cross.T).T
    except LinAlgError:
        return _solve_dense(toeplitz(autocorrelation), cross)
    circulant = np.concatenate([autocorrelation, [0], autocorrelation[:0:-1]])
    product = irfft(rfft(circulant) * rfft(filters, len(circulant)), len(circulant))
    errors = np.abs(product[:, :FILTER_TAPS] - cross).max(axis=-1)
    scales = autocorrelation[0] * np.sqrt((filters**2).sum(axis=-1))
    small = (errors <= MOST_BACKWARD_ERROR * scales).all()  # false for NaN as well
    if small and _is_tame(filters, cross, autocorrelation[0], MOST_GAIN):
        return filters
    return _solve_dense(toeplitz(autocorrelation), cross)


def _is_tame(filters: np.ndarray, cross: np.ndarray, energy: float, most_gain: float) -> bool:
    """Whether filters are not much larger than what they put out: no near-dependent delays."""
    outputs = np.abs((filters * cross).sum(axis=-1))
    return bool((energy * (filters**2).sum(axis=-1) <= most_gain * outputs).all())


def _solve_dense(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """As mir_eval solves; where nothing is left of the solution, the smallest of all."""
    try:
        filters = np.linalg.solve(matrix, right.T).T
    except LinAlgError:
        return np.linalg.lstsq(matrix, right.T)[0].T
    if _is_tame(filters, right, matrix[0, 0], DEPENDENT_GAIN):
        return filters
    return np.linalg.lstsq(matrix, right.T)[0].T


def _solve_all(among: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Filters ``(n_signals, n_src, 512)`` that project on the delays of all references.

    Args:
        among: ``(n_src, n_src, 512)``.
        cross: ``(n_src, n_signals, 512)``.
    """
    n_src = len(among)
    matrix = np.block(
        [[toeplitz(among[i, j], among[j, i]) for j in range(n_src)] for i in range(n_src)]
    )
    right = np.moveaxis(cross, 1, 0).reshape(cross.shape[1], -1)
    try:
        filters = cho_solve(cho_factor(matrix), right.T).T
    except LinAlgError:
        filters = _solve_dense(matrix, right)
    if not _is_tame(filters, right, matrix[0, 0], MOST_GAIN):
        filters = _solve_dense(matrix, right)
    return filters.reshape(-1, n_src, FILTER_TAPS)


def _split_energies(
    reference: np.ndarray,
    signals: Sequence[np.ndarray],
    energies: np.ndarray,
    autocorrelation: np.ndarray,
    cross: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Energies of the projections and of what is left, ``(n_signals,)`` each.

    They follow from the normal equations, ``|target|^2 = <cross, filter>``, without filtering.
    The correlations' rounding, some 1e-16 of the reference's energy, enters them times the
    filter's energy; measured against samples that costs 1e-9 dB at 50 dB. Below LEAST_RESIDUAL
    the residual is computed sample by sample, which has no such cancellation.
    """
    filters = solve_system(autocorrelation, cross)
    targets = (filters * cross).sum(axis=-1)
    residuals = energies - targets
    gains = autocorrelation[0] * (filters**2).sum(axis=-1)
    for k in map(int, np.flatnonzero(residuals < LEAST_RESIDUAL * gains)):
        target = oaconvolve(reference, filters[k])
        targets[k] = _energy(target)
        target[: len(reference)] -= signals[k]
        residuals[k] = _energy(target)
    return targets, residuals


def _cut(signals: np.ndarray, start: int, end: int) -> np.ndarray:
    """Samples from start to end, zeros where there are none."""
    part = signals[:, start:end]
    missing = end - start - part.shape[-1]
    return np.pad(part, ((0, 0), (0, missing))) if missing else part


def _energy(signal: np.ndarray) -> np.ndarray:
    return np.dot(signal, signal)
