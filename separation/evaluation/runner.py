"""Evaluation: an estimator on a test set -> one score row per mixture, resumable, in CSV."""

import contextlib
import dataclasses
import hashlib
import itertools
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
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
from separation.evaluation.references import Reference
from separation.evaluation.score_rows import Cell, ScoreRow, format_scores_csv, parse_score_row
from separation.evaluation.selfcheck import Checker, ScorerCheck, join_checks, parse_check
from separation.evaluation.under_way import UnderWay
from separation.files import hash_value, write_text
from separation.jobs import (
    WINDOW_PER_PROCESS,
    Inherited,
    Journal,
    can_inherit,
    count_workers,
    inherit,
    prepare_worker,
    run_jobs,
    run_jobs_here,
    spread_evenly,
    stay_here,
)
from separation.metrics.score import Score, score_mixture, si_sdr_db
from separation.mixtures.kept import MEMORY_SHARE, measure_memory
from separation.mixtures.signals import Mixture
from separation.mixtures.table import MixtureRow
from separation.text import explain_briefly, explain_error

logger = logging.getLogger(__name__)

ROWS_VERSION = 2  # counts up when the same inputs would give other rows
UNREADABLE, FAILED, SCORE_FAILED = "unreadable", "model-failed", "score-failed"
AGAIN = {UNREADABLE, FAILED, SCORE_FAILED}  # tried anew by the next call
RISKY = ("pesq", "stoi")  # metrics whose packages may end their process, the worst first
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
        n_jobs: scoring processes. On a CPU they run the model too, where it is known to fit their
            memory; else it runs beside them.
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
        estimator: makes the estimates where the mixture is scored; None: they are given.
        problem, error: why something is None.
    """

    row: MixtureRow
    sample_rate: int
    scoring: Scoring
    mixture: Mixture | None = None
    estimates: np.ndarray | None = None
    estimator: Reference | Inherited | None = None
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
    run = _Run(
        mixtures=mixtures,
        names=names,
        estimator=estimator,
        scoring=scoring,
        checker=checker,
        under_way=UnderWay(journal.path.with_suffix(".begun")),
        label=label,
    )
    _score_into(journal, run, todo)
    check = _keep_check(journal, checker, label)
    journal.close()
    rows = [parse_score_row(done[name]) for name in names]
    write_text(path, format_scores_csv(rows))
    return Evaluation(rows, check)


def _score_into(journal: Journal, run: "_Run", todo: list[int]) -> None:
    """Score what is to be scored, a line of the journal each."""
    done, names = journal.done, run.names
    killed = [i for i in todo if names[i] in run.under_way.deaths]
    for index in killed:
        name, deaths = (
            run.mixtures.rows[index].mixture_id,
            run.under_way.describe_deaths(names[index]),
        )
        logger.warning("%s: %s: %s; it comes last", run.label, name, deaths)
    suspects = {*killed, *(i for i in todo if _died(done.get(names[i])))}
    try:
        with contextlib.ExitStack() as share:
            run = _share_work(run, len(todo), share)
            for index, row in _score_all(run, todo, suspects):
                journal.add(names[index], row.as_cells())
    finally:  # only a process that is killed leaves its note
        run.under_way.end(name for name in names if not _is_open(done.get(name)))


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


def _died(cells: dict[str, Cell] | None) -> bool:
    """Whether an earlier call could not score a mixture, which may end a process again."""
    return cells is not None and SCORE_FAILED in str(cells["problems"]).split()


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What all mixtures of one call share."""

    mixtures: Mixtures
    names: list[str]  # in the journal
    estimator: Callable[[Mixture], np.ndarray]
    scoring: Scoring
    checker: Checker
    under_way: UnderWay
    label: str
    remote: Reference | Inherited | None = None  # the estimator, for the processes that score
    remote_bytes: float = 0.0  # of memory that one of them may take for the estimates

    def hands_over(self, place: int, mixture: Mixture) -> bool:
        """Whether the process that scores a mixture makes its estimates too."""
        if self.remote is None or self.checker.is_due(place):  # which needs the estimates here
            return False
        if isinstance(self.remote, Reference):
            return True
        n_bytes = self.estimator.count_bytes(len(mixture.mixture))  # type: ignore[attr-defined]
        return n_bytes <= self.remote_bytes


def _share_work(run: _Run, n_mixtures: int, share: contextlib.ExitStack) -> _Run:
    """The run, its estimator ready for the processes that score, where it may go there."""
    if isinstance(run.estimator, Reference):
        return dataclasses.replace(run, remote=run.estimator)
    count_bytes = getattr(run.estimator, "count_bytes", lambda n_samples: None)
    alone = stay_here(run.scoring.n_jobs, n_mixtures) or not can_inherit()
    if alone or count_bytes(run.mixtures.sample_rate) is None:
        return run
    n_bytes = MEMORY_SHARE * measure_memory() / count_workers(run.scoring.n_jobs)
    remote = share.enter_context(inherit(run.estimator))
    return dataclasses.replace(run, remote=remote, remote_bytes=n_bytes)


def _score_all(run: _Run, todo: list[int], suspects: set[int]) -> Iterator[tuple[int, ScoreRow]]:
    """Places and rows of the mixtures to be scored; a process that dies costs its mixture only.

    Suspects, of which an earlier call died, come last, each scored in a process of its own.
    """
    usual = [index for index in todo if index not in suspects]
    n_jobs, place = run.scoring.n_jobs, 0
    # in this process PESQ, which is C code, could end the run
    is_alone = "pesq" in run.scoring.metrics and stay_here(n_jobs, len(usual))
    while place < len(usual) and not is_alone:
        jobs = _prepare_jobs(run, usual[place:], place)
        bar = partial(run_jobs, total=len(usual) - place, label=run.label, unit="mixture")
        try:
            for row in bar(score_row, jobs, n_jobs):
                place += 1
                yield usual[place - 1], row
        except BrokenExecutor:  # killed for memory; nobody knows which of those under way did it
            text = "%s: a scoring process died; the next few are scored one by one"
            logger.warning(text, run.label)
            jobs = _prepare_jobs(run, usual[place:], place)
            for job in itertools.islice(jobs, WINDOW_PER_PROCESS * count_workers(n_jobs)):
                place += 1
                yield usual[place - 1], _score_apart(job)
    alone = usual[place:] + [index for index in todo if index in suspects]
    jobs = _prepare_jobs(run, alone, place, n_at_once=1)
    rows = run_jobs_here(_score_apart, jobs, total=len(alone), label=run.label, unit="mixture")
    yield from zip(alone, rows, strict=True)


def _score_apart(job: ScoreJob) -> ScoreRow:
    """Score one mixture in a process of its own; where it dies, without PESQ, then without STOI."""
    metrics, dropped = job.scoring.metrics, []
    for name in ("", *RISKY):
        if name and name not in metrics:
            continue
        dropped += [f"{name}-failed"] if name else []
        metrics = tuple(metric for metric in metrics if metric != name)
        scoring = dataclasses.replace(job.scoring, metrics=metrics)
        row = _try_apart(dataclasses.replace(job, scoring=scoring)) if metrics else None
        if row is not None:
            return dataclasses.replace(row, problems=(*row.problems, *dropped))
    text = "the process that scored it died, perhaps for lack of memory; lower --nj"
    return _begin_row(job, problems=(SCORE_FAILED,), error=text)


def _try_apart(job: ScoreJob) -> ScoreRow | None:
    """The row, or None where the process died."""
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    with ProcessPoolExecutor(1, context, initializer=prepare_worker) as pool:
        try:
            return pool.submit(score_row, job).result()
        except BrokenProcessPool:
            return None


def _prepare_jobs(
    run: _Run, todo: list[int], start: int, n_at_once: int | None = None
) -> Iterator[ScoreJob]:
    """Read, separate where that is done here, hand over; a GPU is this process's.

    Args:
        start: the first one's place among all that are checked with mir_eval.
        n_at_once: mixtures that are separated together; None: what is best.
    """
    size = n_at_once or int(getattr(run.estimator, "n_at_once", 1))
    for first in range(0, len(todo), size):
        yield from _prepare_group(run, todo[first : first + size], start + first)


def _prepare_group(run: _Run, indices: list[int], start: int) -> Iterator[ScoreJob]:
    """Jobs of a few mixtures, which the estimator may separate together."""
    left_out = [run.under_way.explain_left_out(run.names[index]) for index in indices]
    run.under_way.begin(run.names[index] for index in indices)
    read = [
        UserError(text) if text else _read(run.mixtures, index)
        for index, text in zip(indices, left_out, strict=True)
    ]
    whole = [mixture for mixture in read if isinstance(mixture, Mixture)]
    remote = run.remote if all(map(run.hands_over, itertools.count(start), whole)) else None
    found = iter([] if remote else _estimate(run.estimator, whole))
    for place, (index, mixture) in enumerate(zip(indices, read, strict=True), start):
        job = partial(
            ScoreJob,
            row=run.mixtures.rows[index],
            sample_rate=run.mixtures.sample_rate,
            scoring=run.scoring,
        )
        if isinstance(mixture, Exception):
            problem = FAILED if left_out[place - start] else UNREADABLE
            yield job(problem=problem, error=explain_error(mixture))
            continue
        if remote:  # the processes that score have less to do than this one
            yield job(mixture=mixture, estimator=remote)
            continue
        estimates = next(found)
        if isinstance(estimates, Exception):
            yield job(problem=FAILED, error=explain_error(estimates))
            continue
        run.checker.check(place, mixture, estimates)
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
    estimates: np.ndarray | Exception | None = job.estimates
    if job.mixture is not None and job.estimator is not None:
        own = job.estimator
        estimates = _estimate_one(own.get() if isinstance(own, Inherited) else own, job.mixture)
    if isinstance(estimates, Exception):
        return _begin_row(job, problems=(FAILED,), error=explain_error(estimates))
    if job.mixture is None or estimates is None:
        return _begin_row(job, problems=(job.problem,), error=job.error)
    row = _begin_row(job)
    try:
        row = _describe(row, job.mixture, job.sample_rate)
        return _measure(row, job.mixture, estimates, job.sample_rate, job.scoring)
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
