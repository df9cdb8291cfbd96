"""Evaluation: test set and estimator -> one CSV row per mixture; a bad one has a row as well."""

import hashlib
import itertools
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from separation.audio.headers import DECODING_ERRORS
from separation.audio.pcm16 import quantise, to_float
from separation.environment import find_version
from separation.errors import UserError
from separation.evaluation.breakdown import describe_mixture
from separation.evaluation.score_rows import list_columns
from separation.evaluation.selfcheck import Checker, ScorerCheck, join_checks
from separation.files import format_rows, hash_value, write_text
from separation.jobs import WINDOW_PER_PROCESS, Journal, run_jobs, spread_evenly
from separation.metrics.score import Score, score_mixture, si_sdr_db
from separation.mixtures.signals import Mixture
from separation.mixtures.table import MixtureRow

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

    rows: list[dict[str, Any]]
    check: ScorerCheck | None

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences on scores that differ from mir_eval's."""
        return self.check.doubts if self.check else ()

    def unscored(self) -> list[dict[str, Any]]:
        """Rows of mixtures without scores."""
        return [row for row in self.rows if "si_sdr" not in row and "sdr" not in row]


@dataclass(frozen=True)
class _Job:
    row: MixtureRow
    sample_rate: int
    scoring: Scoring
    mixture: Mixture | None = None
    estimates: np.ndarray | None = None
    problem: str = ""
    error: str = ""


def _tell(error: BaseException) -> str:
    return str(error) or type(error).__name__


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
    see :meth:`Evaluation.unscored`; so it does where the scorer is further from mir_eval than it
    should be (``check.doubts``). Finished rows lie in ``.<name>-<key>.rows`` beside the CSV and are
    kept: a row is scored again only when its ``stamp``, ``key``, ``scoring`` or a
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
        journal.add(names[index], row)
    check = _keep_check(journal, checker, label)
    journal.close()
    rows = [done[name] for name in names]
    write_text(path, format_rows(rows, list_columns(rows)))
    return Evaluation(rows, check)


def _keep_check(journal: Journal, checker: Checker, label: str) -> ScorerCheck | None:
    """The check of this call and of those before it, which goes into the journal and the log."""
    stored = journal.done.get("check")
    before = [ScorerCheck(**stored | {"doubts": tuple(stored["doubts"])})] if stored else []
    found = [check for check in checker.found if check.n]
    if not found:
        return before[0] if before else None
    check = join_checks([*before, *found])
    journal.add("check", vars(check))
    text = "%s: the scorer lies within %.1e dB of mir_eval on %d mixtures (%.1f s)"
    logger.info(text, label, check.largest_db, check.n, check.seconds)
    return check


def _open_journal(path: Path, scoring: Scoring, sample_rate: int, key: str) -> Journal:
    measured = [list(scoring.metrics), scoring.sixteen_bit, sample_rate]
    versions = [find_version(name) for name in VERSIONS]
    whole = hash_value([ROWS_VERSION, versions, measured, key])
    return Journal(path.with_name(f".{path.stem}-{whole[:8]}.rows"), whole)


def _is_open(row: dict[str, Any] | None) -> bool:
    return row is None or bool(AGAIN & set(row["problems"].split()))


def _score_all(
    mixtures: Mixtures,
    todo: list[int],
    estimator: Callable[[Mixture], np.ndarray],
    scoring: Scoring,
    checker: Checker,
    label: str,
) -> Iterator[dict[str, Any]]:
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


def _score_apart(job: _Job) -> dict[str, Any]:
    """Score one mixture in a process of its own."""
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    ) as pool:
        try:
            return pool.submit(score_row, job).result()
        except BrokenProcessPool:
            text = "the process that scored it died, perhaps for lack of memory; lower --nj"
            return _start_row(job.row) | {"problems": SCORE_FAILED, "error": text}


def _prepare_jobs(
    mixtures: Mixtures,
    todo: list[int],
    start: int,
    estimator: Callable[[Mixture], np.ndarray],
    scoring: Scoring,
    checker: Checker,
) -> Iterator[_Job]:
    """Read, separate, hand over; the estimator stays in this process, which has the GPU."""
    for place, index in enumerate(todo[start:], start):
        job = partial(_Job, mixtures.rows[index], mixtures.sample_rate, scoring)
        try:
            mixture = mixtures[index]
        except DECODING_ERRORS as error:
            yield job(problem=UNREADABLE, error=_tell(error))
            continue
        try:
            estimates = estimator(mixture)
        except Exception as error:  # no memory, too short, whatever a model's own code raises
            yield job(problem=FAILED, error=_tell(error))
            continue
        checker.look_at(place, mixture, estimates)
        yield job(mixture, estimates)


def score_row(job: _Job) -> dict[str, Any]:
    """One mixture's row: what it is, what was found wrong, then its scores where there are any.

    Returns:
        ``mixture_ID, pair, speaker_k_ID, n_samples, duration_s, level_difference_db, overlap,
        audio, permutation, problems`` (names joined by a space), ``error`` where there is one,
        and the values of :class:`separation.metrics.score.Score` to 6 decimals.
    """
    row = _start_row(job.row)
    if job.mixture is None or job.estimates is None:
        return row | {"problems": job.problem, "error": " ".join(job.error.split())}
    try:
        row |= _describe(job.mixture, job.sample_rate)
        return row | _measure(job.mixture, job.estimates, job.sample_rate, job.scoring)
    except UserError as error:  # estimates of another length or number
        return row | {"problems": FAILED, "error": str(error)}
    except Exception as error:  # one mixture must not end a run of thousands
        return row | {"problems": SCORE_FAILED, "error": " ".join(_tell(error).split())}


def _start_row(mixture: MixtureRow) -> dict[str, Any]:
    row = {"mixture_ID": mixture.mixture_id, "pair": mixture.sex_pair}
    for number, source in enumerate(mixture.sources, 1):
        row[f"speaker_{number}_ID"] = source.speaker
    return row


def _describe(mixture: Mixture, sample_rate: int) -> dict[str, Any]:
    described = describe_mixture(mixture.mixture, mixture.sources, sample_rate)
    found = {name: value for name, value in described.items() if value is not None}
    return {"n_samples": len(mixture.mixture)} | found | {"audio": hash_audio(mixture)}


def _measure(
    mixture: Mixture, estimates: np.ndarray, sample_rate: int, scoring: Scoring
) -> dict[str, Any]:
    signals = (mixture.mixture, mixture.sources, estimates)
    score = score_mixture(*signals, sample_rate, scoring.metrics)
    problems, values = list(score.problems), dict(score.values)
    if scoring.sixteen_bit and values:
        stored = _score_stored(mixture.sources, estimates, score)
        values |= stored
        problems += [] if "si_sdr_16bit" in stored else [SILENT_16BIT]
    row: dict[str, Any] = {"permutation": " ".join(map(str, score.permutation))}
    row["problems"] = " ".join(problems)
    row |= {"n_swaps": score.n_swaps} if score.n_swaps else {}
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
