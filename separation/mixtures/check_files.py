"""Looking at every file that a table names, before hours are spent on it."""

import logging
from collections.abc import Iterable
from pathlib import Path

from separation.audio.headers import ABSENT, read_header
from separation.errors import MissingInputError, UserError
from separation.jobs import run_jobs
from separation.text import list_first, list_lines

logger = logging.getLogger(__name__)

SKIP = "fetch them again, or leave them out with --set corpus.skip_bad=true"


def check_files(
    files: Iterable[tuple[Path, str]],
    n_jobs: int,
    label: str,
    sample_rate: int | None = None,
    lengths: dict[Path, int] | None = None,
    *,
    min_samples: int = 1,
    skip_bad: bool | None = None,
) -> dict[Path, tuple[int, int]]:
    """Open every file, look at its header and its very end.

    Args:
        files: ``(path, channel)``; ``mono`` refuses more than one channel.
        sample_rate: that all should have, in Hz; None: any.
        lengths: samples that a published list says some of them have.
        min_samples: that each must have.
        skip_bad: leave files that cannot be used out; the log names them. None: there is no such
            choice.

    Returns:
        number of samples and sample rate by path.

    Raises:
        UserError: lists all files that are absent, truncated, of another rate or length.
    """
    known = lengths or {}
    jobs = [(path, channel, sample_rate, known.get(path), min_samples) for path, channel in files]
    found, complaints = {}, []
    results = run_jobs(
        _check_file, jobs, n_jobs, total=len(jobs), label=label, unit="file", chunk=16
    )
    for (path, *_), outcome in zip(jobs, results, strict=True):
        if isinstance(outcome, str):
            complaints.append(outcome)
        else:
            found[path] = outcome
    if complaints and not (skip_bad and found):
        raise _sum_up(complaints, len(jobs), may_skip=skip_bad is not None)
    if complaints:
        logger.warning("%d files are left out: %s", len(complaints), list_first(complaints))
    return found


def _sum_up(complaints: list[str], n_files: int, *, may_skip: bool) -> UserError:
    absent = all(complaint.endswith(ABSENT) for complaint in complaints)
    kind = MissingInputError if absent else UserError
    return kind(
        f"{list_lines(complaints)}\n{len(complaints)} of {n_files} files cannot be used: "
        f"check --corpus, {SKIP if may_skip else 'or fetch them again'}."
    )


def _check_file(job: tuple[Path, str, int | None, int | None, int]) -> tuple[int, int] | str:
    """Samples and rate, or what is wrong with the file."""
    path, channel, sample_rate, length, min_samples = job
    header = read_header(path)
    faults = list(header.list_faults(channel, sample_rate).values())
    if faults:
        return f"{path}: {', '.join(faults)}"
    if length and header.n_samples != length:
        return f"{path}: has {header.n_samples} samples where the list says {length}"
    if header.n_samples < min_samples:
        return f"{path}: has {header.n_samples} samples, fewer than {min_samples}"
    return header.n_samples, header.sample_rate
