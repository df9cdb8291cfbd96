"""Evaluation: estimators x test sets -> one CSV row per mixture."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from separation.draw import tell_pair
from separation.errors import UserError
from separation.estimators import Estimator
from separation.files import format_rows, hash_value, write_text
from separation.jobs import Journal, run_jobs
from separation.mixture_set import MixtureSet
from separation.render import Mixture
from separation.scoring import score_mixture

logger = logging.getLogger(__name__)


def evaluate_set(
    mixtures: MixtureSet, estimator: Estimator, path: Path, n_jobs: int, label: str
) -> list[dict[str, Any]]:
    """Score one estimator on one test set into ``path`` (CSV), going on where it was cut.

    Args:
        mixtures: rendered as they are needed.
        estimator: mixture -> ``(n_src, time)``.
        path: the CSV; finished rows of an interrupted run lie in ``.<name>.rows`` beside it.
        n_jobs: scoring processes.
        label: for the progress bar.

    Raises:
        UserError: a mixture that cannot be scored, by name.
    """
    names = [row["mixture_ID"] for row in mixtures.rows]
    journal = Journal(path.with_name(f".{path.stem}.rows"), hash_value(names))
    done = journal.done
    todo = [index for index, name in enumerate(names) if name not in done]
    if done:
        logger.info("%s: going on after %d of %d mixtures", label, len(done), len(mixtures))
    rendered = (mixtures[index] for index in todo)
    jobs = ((mixture, estimator(mixture)) for mixture in rendered)
    scored = run_jobs(_score_job, jobs, n_jobs, total=len(todo), label=label, unit="mixture")
    for row in scored:
        if "error" in row:
            raise UserError(f"{path}: mixture {row['mixture_ID']}: {row['error']}")
        journal.add(row["mixture_ID"], row)
    ordered = [done[name] for name in names]
    write_text(path, format_rows(ordered))
    journal.remove()
    return ordered


def hash_audio(mixture: Mixture) -> str:
    """Fingerprint of a mixture's 16-bit samples and then its sources', little-endian."""
    digest = hashlib.sha256()
    for signal in (mixture.mixture, *mixture.sources):
        digest.update(np.rint(signal * np.float32(32768)).clip(-32768, 32767).astype("<i2"))
    return digest.hexdigest()[:16]


def _score_job(job: tuple[Mixture, np.ndarray]) -> dict[str, Any]:
    mixture, estimates = job
    row: dict[str, Any] = {"mixture_ID": mixture.mixture_id, "pair": tell_pair(mixture.row)}
    for number in range(1, len(mixture.sources) + 1):
        row[f"speaker_{number}_ID"] = mixture.row.get(f"speaker_{number}_ID", "")
    try:
        record, order = score_mixture(mixture.mixture, mixture.sources, estimates)
    except UserError as error:
        return row | {"error": str(error)}
    row["n_samples"] = len(mixture.mixture)
    row["audio"] = hash_audio(mixture)
    row["permutation"] = " ".join(map(str, order))
    return row | {key: round(value, 6) for key, value in record.items()}
