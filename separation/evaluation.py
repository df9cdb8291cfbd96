"""Evaluation: estimators x test sets -> one CSV row per mixture, means with intervals."""

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
from separation.files import format_rows, write_json, write_text
from separation.render import Mixture
from separation.scoring import score_mixture

logger = logging.getLogger(__name__)

SUMMARY_METRICS = ("si_sdri", "sdri", "si_sdr", "sdr", "input_si_sdr", "input_sdr")
BOOTSTRAP_DRAWS = 1000


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


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % bootstrap intervals, over all mixtures and per kind of pair."""
    groups = {"all": rows}
    for pair in ("same-sex", "different-sex", "unknown"):
        groups[pair] = [row for row in rows if row["pair"] == pair]
    return {
        name: {"n_mixtures": len(group)}
        | {metric: _mean_interval([row[metric] for row in group]) for metric in SUMMARY_METRICS}
        for name, group in groups.items()
        if group
    }


def _mean_interval(values: list[float]) -> dict[str, float]:
    """Mean and percentile bootstrap interval (Efron 1979); the draws are seeded."""
    numbers = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(len(numbers), size=(BOOTSTRAP_DRAWS, len(numbers)))
    low, high = np.percentile(numbers[draws].mean(axis=1), [2.5, 97.5])
    mean = float(numbers.mean())
    return {"mean": round(mean, 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def write_summary(path: Path, results: dict[str, dict[str, list]], about: dict[str, Any]) -> None:
    """Write ``summary.json``: ``{"about": ..., "scores": {set: {estimator: {group: ...}}}}``."""
    scores = {
        test_set: {name: summarise(rows) for name, rows in estimators.items()}
        for test_set, estimators in results.items()
    }
    write_json(path, {"about": about, "scores": scores})


def format_scores(summary: dict[str, Any]) -> str:
    """The score table as Markdown: test sets x estimators, SI-SDRi and SDRi in dB."""
    lines = [
        "| test set | estimator | SI-SDRi [95 %] | SDRi [95 %] | same-sex SI-SDRi "
        "| different-sex SI-SDRi | mixtures |",
        "|---|---|---|---|---|---|---|",
    ]
    for test_set, estimators in summary["scores"].items():
        for name, groups in estimators.items():
            whole = groups["all"]
            cells = [test_set, name, _cell(whole, "si_sdri", True), _cell(whole, "sdri", True)]
            cells += [_cell(groups.get(p), "si_sdri", False) for p in ("same-sex", "different-sex")]
            lines.append("| " + " | ".join([*cells, str(whole["n_mixtures"])]) + " |")
    return "\n".join(lines)


def _cell(group: dict[str, Any] | None, metric: str, with_interval: bool) -> str:
    if group is None:
        return "–"
    value = group[metric]
    text = f"{value['mean']:.2f}"
    return f"{text} [{value['low']:.2f}, {value['high']:.2f}]" if with_interval else text
