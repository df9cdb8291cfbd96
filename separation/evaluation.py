"""Evaluation: estimators x test sets -> one CSV row per mixture."""

import json
import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from separation.draw import tell_pair
from separation.errors import UserError
from separation.estimators import Estimator
from separation.files import format_rows, write_text
from separation.render import Mixture
from separation.scoring import score_mixture

logger = logging.getLogger(__name__)


def evaluate_set(
    mixtures: list[Mixture], estimator: Estimator, path: Path, n_jobs: int, label: str
) -> list[dict[str, Any]]:
    """Score one estimator on one test set into ``path`` (CSV), going on where it was cut.

    Args:
        mixtures: rendered mixtures.
        estimator: mixture -> ``(n_src, time)``.
        path: the CSV; finished rows of an interrupted run lie in ``.<name>.rows`` beside it.
        n_jobs: scoring processes.
        label: for the progress bar.

    Raises:
        UserError: a mixture that cannot be scored, by name.
    """
    journal = path.with_name(f".{path.stem}.rows")
    journal.parent.mkdir(parents=True, exist_ok=True)
    done = _read_journal(journal)
    todo = [mixture for mixture in mixtures if mixture.mixture_id not in done]
    if done:
        logger.info("%s: going on after %d of %d mixtures", label, len(done), len(mixtures))
    jobs = ((mixture, estimator(mixture)) for mixture in todo)
    with ProcessPoolExecutor(max(1, n_jobs)) as pool, open(journal, "a", encoding="utf-8") as rows:
        scored = pool.map(_score_job, jobs, chunksize=1)
        for row in tqdm(scored, total=len(todo), desc=label, unit="mixture"):
            if "error" in row:
                raise UserError(f"{path}: mixture {row['mixture_ID']}: {row['error']}")
            done[row["mixture_ID"]] = row
            rows.write(json.dumps(row) + "\n")
            rows.flush()
    ordered = [done[mixture.mixture_id] for mixture in mixtures]
    write_text(path, format_rows(ordered))
    journal.unlink()
    return ordered


def _read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Rows of an interrupted run; a half-written last line is dropped from the file too."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("}\n")]
    write_text(path, "".join(whole))
    rows = [json.loads(line) for line in whole]
    return {row["mixture_ID"]: row for row in rows}


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
    row["permutation"] = " ".join(map(str, order))
    return row | {key: round(value, 6) for key, value in record.items()}
