"""SI-SDR in float64, with zero-mean signals (Le Roux et al. 2019, eq. 3); no permutation."""

import numpy as np

CEILING_DB = 150.0  # of a perfect estimate, in place of infinity
EXPLICIT_DB = 60.0  # beyond it energies' difference loses digits; up to it, it is 1e-8 dB off
LARGE_OFFSET = 1e-2  # of a signal's energy


def ratio_db(signal: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Ratio of energies in dB within +-150; of nothing to nothing -150.

    >>> ratio_db(np.array([100.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])).tolist()
    [20.0, 150.0, -150.0]
    """
    limit = 10 ** (CEILING_DB / 10)
    low, high = noise / limit, noise * limit
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = 10 * np.log10(signal / noise)
    return np.where(signal <= low, -CEILING_DB, np.where(signal >= high, CEILING_DB, inside))


def si_sdr_db(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """SI-SDR in dB of zero-mean signals, estimate k against reference k; float64 inside.

    The residual is computed sample by sample. No permutation is searched.

    Args:
        references: ``(..., time)`` of any real type, such as ``(n_src, time)``.
        estimates: ``(..., time)``, broadcast against ``references``.

    Returns:
        ``(...)`` in dB, within +-150.

    >>> tone = np.sin(np.arange(800) * 0.1)
    >>> float(si_sdr_db(tone, 3 * tone)) == CEILING_DB
    True
    """
    references = remove_means(references)
    estimates = remove_means(estimates)
    energy = (references**2).sum(axis=-1, keepdims=True)
    scale = (references * estimates).sum(axis=-1, keepdims=True) / np.where(energy > 0, energy, 1)
    target = scale * references
    residual = estimates - target
    return ratio_db((target**2).sum(axis=-1), (residual**2).sum(axis=-1))


def remove_means(signals: np.ndarray) -> np.ndarray:
    """Signals ``(..., time)`` of any type as float64, each less its mean."""
    signals = np.asarray(signals, np.float64)
    return signals - signals.mean(axis=-1, keepdims=True)


def ratios_of_gram_db(gram: np.ndarray, n_src: int) -> np.ndarray:
    """SI-SDR of every signal against every reference, from inner products.

    The target's energy is ``<r, e>^2 / <r, r>``, the residual's what is left of ``<e, e>``.

    Args:
        gram: ``(..., n_signals, n_signals)`` of zero-mean signals, the references first.
        n_src: number of references.

    Returns:
        ``(..., n_src, n_signals - n_src)`` in dB; beyond some 60 dB only that it is beyond.
    """
    energies = np.diagonal(gram, axis1=-2, axis2=-1)
    own = energies[..., :n_src, None]
    cross = gram[..., :n_src, n_src:]
    targets = cross * (cross / np.where(own > 0, own, 1))
    return ratio_db(targets, np.maximum(energies[..., None, n_src:] - targets, 0))


def multiply_windows(signals: np.ndarray, n_windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of signals less their means, over windows of equal length.

    The means are taken off the products, which saves a copy of all samples, unless an offset is so
    large that the products would lose digits by it.

    Args:
        signals: ``(n_signals, time)`` float64.
        n_windows: of which some are a sample longer than others.

    Returns:
        the products ``(n_windows, n_signals, n_signals)``, and the means ``(n_signals,)``.
    """
    windows = np.array_split(signals, n_windows, axis=-1)
    lengths = np.array([window.shape[-1] for window in windows])[:, None, None]
    sums = np.stack([window.sum(axis=-1) for window in windows])
    means = sums.sum(axis=0) / lengths.sum()
    products = np.stack([window @ window.T for window in windows])
    energies = np.diag(products.sum(axis=0))
    if (lengths.sum() * means**2 > LARGE_OFFSET * energies).any():
        centred = np.array_split(signals - means[:, None], n_windows, axis=-1)
        return np.stack([window @ window.T for window in centred]), means
    mixed = sums[:, :, None] * means
    return products - mixed - mixed.transpose(0, 2, 1) + lengths * np.outer(means, means), means


def pairwise_si_sdr_db(signals: np.ndarray, gram: np.ndarray, n_src: int) -> np.ndarray:
    """SI-SDR of every signal against every reference, exact at any height.

    Args:
        signals: ``(n_signals, time)`` float64, the references first.
        gram: their inner products without means.
        n_src: number of references.

    Returns:
        ``(n_src, n_signals - n_src)`` in dB, within +-150.
    """
    ratios = ratios_of_gram_db(gram, n_src)
    for i, j in np.argwhere(ratios > EXPLICIT_DB):
        ratios[i, j] = si_sdr_db(signals[i], signals[n_src + j])
    return ratios
