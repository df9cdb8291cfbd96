"""Evaluation: test set and estimator -> one CSV row per mixture; a bad one has a row as well."""

import functools
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from separation.corpora.audio import quantise, to_float
from separation.errors import UserError
from separation.evaluation.breakdown import describe_mixture
from separation.evaluation.score_rows import list_columns
from separation.evaluation.scoring import Score, score_mixture, si_sdr_db
from separation.evaluation.scoring_check import ScorerCheck, check_scorer
from separation.files import format_rows, hash_value, write_text
from separation.jobs import Journal, run_jobs
from separation.mixtures.draw import tell_pair
from separation.mixtures.reading import DECODING_ERRORS
from separation.mixtures.render import Mixture
from separation.mixtures.tables import count_sources
from separation.model_stages import find_version

logger = logging.getLogger(__name__)

ROWS_VERSION = 1  # counts up when the same inputs would give other rows
CHECK_TOLERANCE_DB = 1e-4
UNREADABLE, FAILED = "unreadable", "model-failed"
VERSIONS = ("numpy", "scipy", "torch", "asteroid", "pystoi", "pesq")  # that values depend on
SILENT_16BIT = "silent-in-16-bits"
CLIPPED = np.float32(32767 / 32768)  # the largest sample that 16 bits hold


class Mixtures(Protocol):
    """What can be evaluated: mixtures that are rendered or read when they are asked for."""

    rows: list[dict[str, str]]
    sample_rate: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mixture: ...

    def stamp(self, index: int) -> str:
        """Hash of what one mixture is made from: other files, another stamp."""
        ...


@dataclass(frozen=True)
class Scoring:
    """What is measured of every mixture.

    Attributes:
        metrics: out of :data:`separation.evaluation.scoring.METRICS`.
        n_jobs: scoring processes; the model runs beside them.
        sixteen_bit: also SI-SDR of the estimates as a 16-bit WAV file would hold them.
        n_checked: mixtures on which the scorer is compared with mir_eval.
    """

    metrics: tuple[str, ...] = ("si_sdr", "sdr")
    n_jobs: int = 1
    sixteen_bit: bool = False
    n_checked: int = 3


@dataclass(frozen=True)
class Evaluation:
    """Rows of one estimator on one test set, in the set's order.

    Attributes:
        rows: see :func:`score_row`.
        check: of the scorer; None where there was nothing to check it on.
    """

    rows: list[dict[str, Any]]
    check: ScorerCheck | None

    def unscored(self) -> list[dict[str, Any]]:
        """Rows of mixtures without scores."""
        return [row for row in self.rows if "si_sdr" not in row and "sdr" not in row]


@dataclass(frozen=True)
class _Job:
    row: dict[str, str]
    sample_rate: int
    scoring: Scoring
    mixture: Mixture | None = None
    estimates: np.ndarray | None = None
    problem: str = ""
    error: str = ""


@dataclass
class _Checker:
    """Compares the scorer with mir_eval on mixtures spread over those still to be scored."""

    wanted: list[int]
    found: list[ScorerCheck] = field(default_factory=list)

    def look_at(self, place: int, mixture: Mixture, estimates: np.ndarray) -> None:
        """Check on this mixture if the next one wanted is not behind it, and it can be scored."""
        signals = (mixture.mixture[None], mixture.sources, estimates)
        finite = all(np.isfinite(part).all() for part in signals)
        if not self.wanted or place < self.wanted[0] or not finite:
            return
        if not all(part.any(axis=-1).all() for part in signals):
            return
        self.wanted.pop(0)
        self.found.append(check_scorer([(mixture.mixture, mixture.sources, estimates)]))
        largest_db = self.found[-1].largest_db
        if not largest_db <= CHECK_TOLERANCE_DB:
            raise UserError(
                f"mixture {mixture.mixture_id}: the scorer and mir_eval differ by {largest_db:.2g} "
                f"dB, more than {CHECK_TOLERANCE_DB:g}: do not trust these scores; report it with "
                "the versions of NumPy and SciPy."
            )

    def sum_up(self) -> ScorerCheck | None:
        if not self.found:
            return None
        largest_db = float(np.max([check.largest_db for check in self.found]))
        seconds = sum(check.seconds for check in self.found)
        return ScorerCheck(sum(check.n for check in self.found), largest_db, seconds)


def evaluate_set(
    mixtures: Mixtures,
    estimator: Callable[[Mixture], np.ndarray],
    path: Path,
    scoring: Scoring,
    label: str,
    key: str,
) -> Evaluation:
    """Score one estimator on one test set into ``path`` (CSV), going on where it was cut.

    A mixture that cannot be read, or has no scores, is a row that says so, and the rest goes on;
    see :meth:`Evaluation.unscored`. Finished rows lie in ``.<name>-<key>.rows`` beside the CSV
    and are kept: a row is scored again only when its ``stamp``, ``key``, ``scoring`` or a
    package's version change, or it could not be read or separated. No more than a few mixtures a
    process are in memory at a time.

    Args:
        mixtures: rendered or read as they are needed.
        estimator: mixture -> ``(n_src, time)``.
        label: for the progress bar.
        key: of the estimator, such as a checkpoint's sha256.

    Raises:
        UserError: the scorer is further than 1e-4 dB from mir_eval.
    """
    journal = _open_journal(path, scoring, mixtures.sample_rate, key)
    names = [f"{row['mixture_ID']} {mixtures.stamp(i)}" for i, row in enumerate(mixtures.rows)]
    done = journal.done
    todo = [i for i, name in enumerate(names) if _is_open(done.get(name))]
    if len(todo) < len(names):
        logger.info(
            "%s: %d of %d mixtures are scored already", label, len(names) - len(todo), len(names)
        )
    checker = _Checker(spread_evenly(len(todo), scoring.n_checked))
    jobs = _prepare_jobs(mixtures, todo, estimator, scoring, checker)
    scored = run_jobs(score_row, jobs, scoring.n_jobs, total=len(todo), label=label, unit="mixture")
    for index, row in zip(todo, scored, strict=True):
        journal.add(names[index], row)
    check = checker.sum_up()
    if check:
        journal.add("check", vars(check))
        text = "%s: the scorer lies within %.1e dB of mir_eval on %d mixtures (%.1f s)"
        logger.info(text, label, check.largest_db, check.n, check.seconds)
    journal.close()
    rows = [done[name] for name in names]
    write_text(path, format_rows(rows, list_columns(rows)))
    return Evaluation(rows, ScorerCheck(**done["check"]) if "check" in done else None)


def _open_journal(path: Path, scoring: Scoring, sample_rate: int, key: str) -> Journal:
    measured = [list(scoring.metrics), scoring.sixteen_bit, sample_rate]
    versions = [find_version(name) for name in VERSIONS]
    whole = hash_value([ROWS_VERSION, versions, measured, key])
    return Journal(path.with_name(f".{path.stem}-{whole[:8]}.rows"), whole)


def _is_open(row: dict[str, Any] | None) -> bool:
    return row is None or bool({UNREADABLE, FAILED} & set(row["problems"].split()))


def spread_evenly(n_all: int, n_chosen: int) -> list[int]:
    """At most ``n_chosen`` of ``range(n_all)``, evenly spaced, the first among them.

    >>> spread_evenly(10, 3)
    [0, 3, 6]
    """
    n_chosen = min(n_all, n_chosen)
    return [number * n_all // n_chosen for number in range(n_chosen)]


def _prepare_jobs(
    mixtures: Mixtures,
    todo: list[int],
    estimator: Callable[[Mixture], np.ndarray],
    scoring: Scoring,
    checker: _Checker,
) -> Iterator[_Job]:
    """Read, separate, hand over; the estimator stays in this process, which has the GPU."""
    for place, index in enumerate(todo):
        job = functools.partial(_Job, mixtures.rows[index], mixtures.sample_rate, scoring)
        try:
            mixture = mixtures[index]
        except DECODING_ERRORS as error:
            yield job(problem=UNREADABLE, error=str(error) or type(error).__name__)
            continue
        try:
            estimates = estimator(mixture)
        except (RuntimeError, MemoryError, ValueError) as error:  # no memory, too short, ...
            yield job(problem=FAILED, error=str(error) or type(error).__name__)
            continue
        checker.look_at(place, mixture, estimates)
        yield job(mixture, estimates)


def score_row(job: _Job) -> dict[str, Any]:
    """One mixture's row: what it is, what was found wrong, then its scores where there are any.

    Returns:
        ``mixture_ID, pair, speaker_k_ID, n_samples, duration_s, level_difference_db, overlap,
        audio, permutation, problems`` (names joined by a space), ``error`` where there is one,
        and the values of :class:`separation.evaluation.scoring.Score` to 6 decimals.
    """
    table_row = job.row
    row: dict[str, Any] = {"mixture_ID": table_row["mixture_ID"], "pair": tell_pair(table_row)}
    for number in range(1, count_sources(table_row) + 1):
        row[f"speaker_{number}_ID"] = table_row.get(f"speaker_{number}_ID", "")
    if job.mixture is None or job.estimates is None:
        return row | {"problems": job.problem, "error": " ".join(job.error.split())}
    mixture = job.mixture
    row["n_samples"] = len(mixture.mixture)
    described = describe_mixture(mixture.mixture, mixture.sources, job.sample_rate)
    row |= {name: value for name, value in described.items() if value is not None}
    row["audio"] = hash_audio(mixture)
    signals = (mixture.mixture, mixture.sources, job.estimates)
    try:
        score = score_mixture(*signals, job.sample_rate, job.scoring.metrics)
    except UserError as error:  # estimates of another length or number
        return row | {"problems": FAILED, "error": str(error)}
    problems, values = list(score.problems), dict(score.values)
    if job.scoring.sixteen_bit and values:
        stored = _score_stored(mixture.sources, job.estimates, score)
        values |= stored
        problems += [] if "si_sdr_16bit" in stored else [SILENT_16BIT]
    row["permutation"] = " ".join(map(str, score.permutation))
    row["problems"] = " ".join(problems)
    return row | {key: round(value, 6) for key, value in values.items()}


def _score_stored(sources: np.ndarray, estimates: np.ndarray, score: Score) -> dict[str, float]:
    """SI-SDR of the estimates as 16-bit WAV files hold them, at the model's own scale."""
    ordered = np.asarray(estimates[list(score.permutation)], np.float32)
    n_clipped = int((ordered > CLIPPED).sum() + (ordered < -1).sum())
    stored = to_float(quantise(ordered))
    if (np.ptp(stored, axis=-1) == 0).any():  # a constant has no SI-SDR
        return {"n_clipped": n_clipped}
    return {"si_sdr_16bit": float(si_sdr_db(sources, stored).mean()), "n_clipped": n_clipped}


def hash_audio(mixture: Mixture) -> str:
    """Fingerprint of a mixture's 16-bit samples and then its sources', little-endian."""
    digest = hashlib.sha256()
    for signal in (mixture.mixture, *mixture.sources):
        whole = np.rint(np.nan_to_num(signal) * np.float32(32768))
        digest.update(whole.clip(-32768, 32767).astype("<i2"))
    return digest.hexdigest()[:16]
