"""STOI and PESQ of one estimate, by their reference packages.

STOI (Taal et al. 2011) is pystoi's, in 0..1, resampled to 10 kHz by pystoi itself; PESQ (ITU-T
P.862 at 8 kHz, narrow band; P.862.2 at 16 kHz, wide band) is that of the ``pesq`` package, which
needs a C compiler to install and is therefore optional.
"""

import importlib.util
import sys
import warnings
from collections.abc import Callable

import numpy as np

from separation.errors import UserError

PESQ_MODES = {8000: "nb", 16000: "wb"}


def check_perceptual(metrics: tuple[str, ...], sample_rate: int) -> None:
    """See that STOI and PESQ can be computed where they are asked for.

    Raises:
        UserError: a package that is not installed, or a rate (Hz) that PESQ does not know.
    """
    for name, package in (("stoi", "pystoi"), ("pesq", "pesq")):
        if name in metrics and importlib.util.find_spec(package) is None:
            raise UserError(
                f"metric {name}: its package is not installed; run "
                f"`{sys.executable} -m pip install {package}`"
                f"{' (it needs a C compiler)' if package == 'pesq' else ''}, or leave it out."
            )
    if "pesq" in metrics and sample_rate not in PESQ_MODES:
        raise UserError(
            f"metric pesq: defined at 8000 and 16000 Hz, not at {sample_rate} Hz; leave it out or"
            " score audio of one of these rates."
        )


def score_perceptual(
    metric: str, pairs: list[tuple[np.ndarray, np.ndarray]], sample_rate: int
) -> np.ndarray | None:
    """STOI or PESQ of several (reference, estimate) pairs of ``(time,)`` each.

    Returns:
        one value a pair, or None where one of them has none: too short, or silent.
    """
    measure = {"stoi": measure_stoi, "pesq": measure_pesq}[metric]
    values = [_measure(measure, *pair, sample_rate) for pair in pairs]
    return None if any(value is None for value in values) else np.array(values)


def measure_stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """STOI of one estimate, in 0..1; a RuntimeWarning where fewer than 30 frames hold speech.

    Args:
        reference, estimate: ``(time,)``; means are kept.
        sample_rate: Hz; pystoi resamples to 10 kHz.
    """
    from pystoi import stoi

    return float(stoi(reference, estimate, sample_rate))


def measure_pesq(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """PESQ of one estimate as mean opinion score; PesqError (a RuntimeError) where it has none.

    Args:
        reference, estimate: ``(time,)``; means are kept.
        sample_rate: 8000 (narrow band) or 16000 (wide band), in Hz.
    """
    from pesq import pesq

    return float(pesq(sample_rate, reference, estimate, PESQ_MODES[sample_rate]))


def _measure(
    measure: Callable[[np.ndarray, np.ndarray, int], float],
    reference: np.ndarray,
    estimate: np.ndarray,
    sample_rate: int,
) -> float | None:
    with warnings.catch_warnings():
        # pystoi answers 1e-5 and warns where a signal is too short; 1e-5 is no score
        warnings.simplefilter("error", RuntimeWarning)
        try:
            value = measure(reference, estimate, sample_rate)
        except (RuntimeWarning, RuntimeError, ValueError):
            return None
    return value if np.isfinite(value) else None
