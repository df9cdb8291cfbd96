"""Evaluation: an estimator on a test set -> one score row per mixture, resumable, in CSV."""

import dataclasses
import hashlib
import itertools
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from separation.audio.headers import DECODING_ERRORS
from separation.audio.pcm16 import quantise, to_float
from separation.device import is_broken
from separation.environment import find_version
from separation.errors import UserError
from separation.evaluation.breakdown import describe_mixture
from separation.evaluation.score_rows import Cell, ScoreRow, format_scores_csv, parse_score_row
from separation.evaluation.selfcheck import Checker, ScorerCheck, join_checks, parse_check
from separation.files import hash_value, write_text
from separation.jobs import WINDOW_PER_PROCESS, Journal, run_jobs, spread_evenly
from separation.metrics.score import Score, score_mixture, si_sdr_db
from separation.mixtures.signals import Mixture
from separation.mixtures.table import MixtureRow
from separation.text import explain_briefly, explain_error

logger = logging.getLogger(__name__)

ROWS_VERSION = 2  # counts up when the same inputs would give other rows
UNREADABLE, FAILED, SCORE_FAILED = "unreadable", "model-failed", "score-failed"
AGAIN = {UNREADABLE, FAILED, SCORE_FAILED}  # tried anew by the next call
VERSIONS = ("numpy", "scipy", "torch", "asteroid", "pystoi", "pesq")  # that values depend on
SILENT_16BIT = "silent-in-16-bits"
CLIPPED = np.float32(32767 / 32768)  # the largest sample that 16 bits hold


class Mixtures(Protocol):
    """What can be evaluated: mixtures that are rendered or read when they are asked for."""

    rows: list[MixtureRow]

    @property
    def sample_rate(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mixture: ...

    def stamp(self, index: int) -> str:
        """Hash of what one mixture is made from: other files, another stamp."""
        ...


@dataclass(frozen=True)
class Scoring:
    """What is measured of every mixture.

    Attributes:
        metrics: out of :data:`separation.metrics.score.METRICS`.
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

    rows: list[ScoreRow]
    check: ScorerCheck | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on scores that differ from mir_eval's."""
        return self.check.warnings if self.check else ()

    def unscored(self) -> list[ScoreRow]:
        """Rows of mixtures without scores."""
        return [row for row in self.rows if not row.is_scored]


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """What is needed for a row: the mixture and its estimates, or why there are none.

    Attributes:
        row: of the mixture table.
        sample_rate: Hz.
        scoring: what is measured.
        mixture: None where it could not be read.
        estimates: ``(n_src, time)``; None where there are none.
        problem, error: why something is None.
    """

    row: MixtureRow
    sample_rate: int
    scoring: Scoring
    mixture: Mixture | None = None
    estimates: np.ndarray | None = None
    problem: str = ""
    error: str = ""


def evaluate_set(
    mixtures: Mixtures,
    estimator: Callable[[Mixture], np.ndarray],
    path: Path,
    scoring: Scoring,
    label: str,
    key: str,
) -> Evaluation:
    """Score one estimator on one test set into ``path`` (CSV), going on where it was cut.

    A mixture that cannot be read, or has no scores, is a row that says so, and the rest goes on
    (:meth:`Evaluation.unscored`); so it does where the scorer is further from mir_eval than it
    should be (:attr:`Evaluation.warnings`). Finished rows lie in ``.<name>-<key>.rows`` beside the
    CSV and are kept: a row is scored again only when its ``stamp``, ``key``, ``scoring`` or a
    package's version change, or it could not be read or separated. No more than a few mixtures a
    process are in memory at a time.

    Args:
        mixtures: rendered or read as they are needed.
        estimator: mixture -> ``(n_src, time)``.
        label: for the progress bar.
        key: of the estimator, such as a checkpoint's sha256.
    """
    journal = _open_journal(path, scoring, mixtures.sample_rate, key)
    names = [f"{row.mixture_id} {mixtures.stamp(i)}" for i, row in enumerate(mixtures.rows)]
    done = journal.done
    todo = [i for i, name in enumerate(names) if _is_open(done.get(name))]
    if len(todo) < len(names):
        logger.info(
            "%s: %d of %d mixtures are scored already", label, len(names) - len(todo), len(names)
        )
    checker = Checker(spread_evenly(len(todo), scoring.n_checked), scoring.metrics)
    scored = _score_all(mixtures, todo, estimator, scoring, checker, label)
    for index, row in zip(todo, scored, strict=True):
        journal.add(names[index], row.as_cells())
    check = _keep_check(journal, checker, label)
    journal.close()
    rows = [parse_score_row(done[name]) for name in names]
    write_text(path, format_scores_csv(rows))
    return Evaluation(rows, check)


def _keep_check(journal: Journal, checker: Checker, label: str) -> ScorerCheck | None:
    """The check of this call and of those before it, which goes into the journal and the log."""
    stored = journal.done.get("check")
    before = [parse_check(stored)] if stored else []
    new = [check for check in checker.checks if check.n]
    if not new:
        return before[0] if before else None
    check = join_checks([*before, *new])
    journal.add("check", check.as_record())
    text = "%s: the scorer lies within %.1e dB of mir_eval on %d mixtures (%.1f s)"
    logger.info(text, label, check.largest_db, check.n, check.seconds)
    return check


def _open_journal(path: Path, scoring: Scoring, sample_rate: int, key: str) -> Journal:
    measured = [list(scoring.metrics), scoring.sixteen_bit, sample_rate]
    versions = [find_version(name) for name in VERSIONS]
    whole = hash_value([ROWS_VERSION, versions, measured, key])
    return Journal(path.with_name(f".{path.stem}-{whole[:8]}.rows"), whole)


def _is_open(cells: dict[str, Cell] | None) -> bool:
    """Whether a mixture is still to be scored, or worth another try."""
    return cells is None or bool(AGAIN & set(str(cells["problems"]).split()))


def _score_all(
    mixtures: Mixtures,
    todo: list[int],
    estimator: Callable[[Mixture], np.ndarray],
    scoring: Scoring,
    checker: Checker,
    label: str,
) -> Iterator[ScoreRow]:
    """Rows of the mixtures to be scored, in order; a process that dies costs its mixture only."""
    place = 0
    while place < len(todo):
        jobs = _prepare_jobs(mixtures, todo, place, estimator, scoring, checker)
        bar = partial(run_jobs, total=len(todo) - place, label=label, unit="mixture")
        try:
            for row in bar(score_row, jobs, scoring.n_jobs):
                place += 1
                yield row
        except BrokenProcessPool:  # killed for memory; nobody knows which of those under way did it
            logger.warning("%s: a scoring process died; the next few are scored one by one", label)
            jobs = _prepare_jobs(mixtures, todo, place, estimator, scoring, checker)
            for job in itertools.islice(jobs, WINDOW_PER_PROCESS * scoring.n_jobs):
                place += 1
                yield _score_apart(job)


def _score_apart(job: ScoreJob) -> ScoreRow:
    """Score one mixture in a process of its own."""
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    ) as pool:
        try:
            return pool.submit(score_row, job).result()
        except BrokenProcessPool:
            text = "the process that scored it died, perhaps for lack of memory; lower --nj"
            return _begin_row(job, problems=(SCORE_FAILED,), error=text)


def _prepare_jobs(
    mixtures: Mixtures,
    todo: list[int],
    start: int,
    estimator: Callable[[Mixture], np.ndarray],
    scoring: Scoring,
    checker: Checker,
) -> Iterator[ScoreJob]:
    """Read, separate, hand over; the estimator stays in this process, which has the GPU."""
    n_at_once = getattr(estimator, "n_at_once", 1)
    for first in range(start, len(todo), n_at_once):
        places = range(first, min(first + n_at_once, len(todo)))
        yield from _prepare_group(mixtures, todo, places, estimator, scoring, checker)


def _prepare_group(
    mixtures: Mixtures,
    todo: list[int],
    places: Sequence[int],
    estimator: Callable[[Mixture], np.ndarray],
    scoring: Scoring,
    checker: Checker,
) -> Iterator[ScoreJob]:
    """Jobs of a few mixtures, which the estimator may separate together."""
    read = [_read(mixtures, todo[place]) for place in places]
    found = iter(_estimate(estimator, [m for m in read if isinstance(m, Mixture)]))
    for place, mixture in zip(places, read, strict=True):
        job = partial(
            ScoreJob,
            row=mixtures.rows[todo[place]],
            sample_rate=mixtures.sample_rate,
            scoring=scoring,
        )
        if isinstance(mixture, Exception):
            yield job(problem=UNREADABLE, error=explain_error(mixture))
            continue
        estimates = next(found)
        if isinstance(estimates, Exception):
            yield job(problem=FAILED, error=explain_error(estimates))
            continue
        checker.check(place, mixture, estimates)
        yield job(mixture=mixture, estimates=estimates)


def _read(mixtures: Mixtures, index: int) -> Mixture | Exception:
    try:
        return mixtures[index]
    except DECODING_ERRORS as error:
        return error


def _estimate(
    estimator: Callable[[Mixture], np.ndarray], mixtures: list[Mixture]
) -> list[np.ndarray | Exception]:
    """Estimates of each mixture, or what the model raised for it.

    Raises:
        UserError: the GPU computes nothing more.
    """
    together: Any = getattr(estimator, "estimate_all", None)
    if together is not None and len(mixtures) > 1:
        try:
            return together(mixtures)
        except Exception as error:  # one of them fails, which only trying each will tell
            _refuse_broken(error, mixtures[0])
    return [_estimate_one(estimator, mixture) for mixture in mixtures]


def _estimate_one(
    estimator: Callable[[Mixture], np.ndarray], mixture: Mixture
) -> np.ndarray | Exception:
    try:
        return estimator(mixture)
    except Exception as error:  # no memory, too short, whatever a model's own code raises
        _refuse_broken(error, mixture)
        return error


def _refuse_broken(error: Exception, mixture: Mixture) -> None:
    """Raise :class:`UserError` where the GPU computes nothing more in this process."""
    if is_broken(error):
        raise UserError(
            f"the GPU failed at mixture {mixture.mixture_id} and computes nothing more in this "
            f"process ({explain_briefly(error)}): run the same command to go on from there; if it "
            "fails again, with --device cpu."
        ) from error


def score_row(job: ScoreJob) -> ScoreRow:
    """One mixture's row: what it is, what is wrong with it, then its scores where there are any."""
    if job.mixture is None or job.estimates is None:
        return _begin_row(job, problems=(job.problem,), error=job.error)
    row = _begin_row(job)
    try:
        row = _describe(row, job.mixture, job.sample_rate)
        return _measure(row, job.mixture, job.estimates, job.sample_rate, job.scoring)
    except UserError as error:  # estimates of another length or number
        return dataclasses.replace(row, problems=(FAILED,), error=explain_error(error))
    except Exception as error:  # one mixture must not end a run of thousands
        return dataclasses.replace(row, problems=(SCORE_FAILED,), error=explain_error(error))


def _begin_row(job: ScoreJob, problems: tuple[str, ...] = (), error: str = "") -> ScoreRow:
    return ScoreRow(
        mixture_id=job.row.mixture_id,
        pair=job.row.sex_pair,
        speakers=tuple(source.speaker for source in job.row.sources),
        problems=problems,
        error=error,
    )


def _describe(row: ScoreRow, mixture: Mixture, sample_rate: int) -> ScoreRow:
    description = describe_mixture(mixture.mixture, mixture.sources, sample_rate)
    return dataclasses.replace(
        row,
        n_samples=len(mixture.mixture),
        duration_s=description.duration_s,
        level_difference_db=description.level_difference_db,
        overlap=description.overlap,
        audio=hash_audio(mixture),
    )


def _measure(
    row: ScoreRow, mixture: Mixture, estimates: np.ndarray, sample_rate: int, scoring: Scoring
) -> ScoreRow:
    score = score_mixture(mixture.mixture, mixture.sources, estimates, sample_rate, scoring.metrics)
    problems, values = list(score.problems), dict(score.values)
    n_clipped = None
    if scoring.sixteen_bit and values:
        stored, n_clipped = _store_16bit(estimates, score)
        if (np.ptp(stored, axis=-1) == 0).any():  # a constant has no SI-SDR
            problems.append(SILENT_16BIT)
        else:
            values["si_sdr_16bit"] = float(si_sdr_db(mixture.sources, stored).mean())
    return dataclasses.replace(
        row,
        permutation=score.permutation,
        problems=tuple(problems),
        n_swaps=score.n_swaps,
        n_clipped=n_clipped,
        values={name: round(value, 6) for name, value in values.items()},
    )


def _store_16bit(estimates: np.ndarray, score: Score) -> tuple[np.ndarray, int]:
    """The estimates as 16-bit WAV files hold them at the model's own scale; samples that clip."""
    ordered = np.asarray(estimates[list(score.permutation)], np.float32)
    n_clipped = int((ordered > CLIPPED).sum() + (ordered < -1).sum())
    return to_float(quantise(ordered)), n_clipped


def hash_audio(mixture: Mixture) -> str:
    """Fingerprint of a mixture's 16-bit samples and then its sources', little-endian."""
    digest = hashlib.sha256()
    for signal in (mixture.mixture, *mixture.sources):
        whole = np.rint(np.nan_to_num(signal) * np.float32(32768))
        digest.update(whole.clip(-32768, 32767).astype("<i2"))
    return digest.hexdigest()[:16]
