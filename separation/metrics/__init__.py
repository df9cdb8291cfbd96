"""Metrics of source separation: SI-SDR, SDR, SIR, SAR, STOI and PESQ, usable by themselves.

Signals are NumPy arrays ``(n_src, time)`` of any real type; everything is computed in float64.
Estimate k belongs to reference k, except in :func:`score_mixture` and :func:`find_permutation`,
which search the permutation of the highest mean SI-SDR. SI-SDR removes means, BSS Eval keeps them.

>>> import numpy as np
>>> from separation.metrics import find_permutation, sdr_db, si_sdr_db
>>> references = np.random.default_rng(0).standard_normal((2, 8000))
>>> estimates = references[::-1] + 0.1 * np.random.default_rng(1).standard_normal((2, 8000))
>>> order = find_permutation(references, estimates)
>>> order
(1, 0)
>>> si_sdr_db(references, estimates[list(order)]).round().tolist()
[20.0, 20.0]
>>> sdr_db(references, estimates[list(order)]).round().tolist()
[20.0, 20.0]
"""

import importlib
from typing import TYPE_CHECKING, Any

from separation.metrics.names import METRICS

if TYPE_CHECKING:
    from separation.metrics.bss_eval import bss_eval_db, sdr_db
    from separation.metrics.perceptual import measure_pesq, measure_stoi
    from separation.metrics.problems import PROBLEMS, UNSCORABLE
    from separation.metrics.score import Score, check_metrics, find_permutation, score_mixture
    from separation.metrics.si_sdr import CEILING_DB, si_sdr_db

__all__ = [
    "CEILING_DB",
    "METRICS",
    "PROBLEMS",
    "UNSCORABLE",
    "Score",
    "bss_eval_db",
    "check_metrics",
    "find_permutation",
    "measure_pesq",
    "measure_stoi",
    "score_mixture",
    "sdr_db",
    "si_sdr_db",
]
HOMES = {  # loaded when they are asked for: NumPy and SciPy take a second, the names alone do not
    "bss_eval": ("bss_eval_db", "sdr_db"),
    "perceptual": ("measure_pesq", "measure_stoi"),
    "problems": ("PROBLEMS", "UNSCORABLE"),
    "score": ("Score", "check_metrics", "find_permutation", "score_mixture"),
    "si_sdr": ("CEILING_DB", "si_sdr_db"),
}


def __getattr__(name: str) -> Any:
    for module, names in HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
