"""Mixtures that exist as audio: reading one, and looking at the headers of many before work."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from separation.audio.headers import AudioHeader, read_header, read_samples
from separation.errors import UserError
from separation.jobs import run_jobs
from separation.mixtures.signals import Mixture
from separation.mixtures.table import MixtureRow
from separation.text import list_first, list_lines

logger = logging.getLogger(__name__)
LENGTH_TOLERANCE_S = 0.01  # by which files of one mixture may differ; they are cut to the shortest
Faults = dict[str, list[str]]  # by the name of the check, what is wrong with which file


def read_existing(
    row: MixtureRow,
    base: Path = Path(),
    sample_rate: int | None = None,
    *,
    with_noise: bool = False,
) -> Mixture:
    """Read one row's mixture and sources as they are, strictly.

    Files whose lengths differ by up to ``LENGTH_TOLERANCE_S`` are cut to the shortest.

    Args:
        row: of audio that exists.
        base: what its paths are relative to.
        sample_rate: that all files should have, in Hz; None: any, but one.
        with_noise: also read the noise, where the row names one.

    Raises:
        UserError: names every file that cannot be used.
    """
    mixture, faults = read_leniently(
        row, base, sample_rate, with_noise=with_noise, tolerance_s=LENGTH_TOLERANCE_S
    )
    if faults or mixture is None:
        raise UserError("; ".join(text for texts in faults.values() for text in texts))
    return mixture


def read_leniently(
    row: MixtureRow,
    base: Path = Path(),
    sample_rate: int | None = None,
    *,
    with_noise: bool = False,
    tolerance_s: float = 0.0,
) -> tuple[Mixture | None, Faults]:
    """Read one row's files; what is wrong with them is a finding and no error.

    Args:
        row, base, sample_rate, with_noise: as :func:`read_existing` has them.
        tolerance_s: by which lengths may differ without being a finding.

    Returns:
        the signals, None where a file cannot be used or rates differ, cut to the shortest where
        lengths differ; and what is wrong, under ``unreadable``, ``wrong-channels``,
        ``wrong-rate`` and ``length-mismatch``.
    """
    paths = _list_paths(row, with_noise=with_noise)
    files = [read_samples(base / path) for path in paths]
    headers = {path: header for path, (_, header) in zip(paths, files, strict=True)}
    faults = compare_headers(headers, sample_rate, tolerance_s)
    rates = {header.sample_rate for header in headers.values()}
    if len(rates) > 1 or faults.keys() & {"unreadable", "wrong-channels"}:
        return None, faults
    shortest = min(len(samples) for samples, _ in files)
    mixture, *parts = [samples[:shortest] for samples, _ in files]
    signals = Mixture(
        row=row,
        sample_rate=rates.pop(),
        mixture=mixture,
        sources=np.stack(parts[: row.n_src]),
        noise=parts[row.n_src] if len(parts) > row.n_src else None,
    )
    return signals, faults


def _list_paths(row: MixtureRow, *, with_noise: bool = False) -> list[str]:
    noise = [row.noise.path] if with_noise and row.noise is not None else []
    return [row.mixture_path, *(source.path for source in row.sources), *noise]


def compare_headers(
    headers: dict[str, AudioHeader], sample_rate: int | None, tolerance_s: float = 0.0
) -> Faults:
    """What keeps the files of one mixture from being used together.

    Files that differ in length by more than a rounding are not cut to the shortest: nobody can
    tell whether they begin together.

    Args:
        headers: by path, the mixture's first.
        sample_rate: that all should have, in Hz; None: any, but one.
        tolerance_s: by which lengths may differ.
    """
    faults: Faults = defaultdict(list)
    for path, header in headers.items():
        for check, text in header.list_faults(sample_rate=sample_rate).items():
            faults[check].append(f"{shorten(path)}: {text}")
    usable = not faults.keys() & {"unreadable", "wrong-channels"}
    rates = {header.sample_rate for header in headers.values()}
    if usable and len(rates) > 1 and sample_rate is None:
        listed = [f"{shorten(path)} {header.sample_rate} Hz" for path, header in headers.items()]
        text = f"mixture and references differ in sample rate: {', '.join(listed)}"
        faults["wrong-rate"].append(text)
    lengths = [header.n_samples for header in headers.values()]
    off = max(lengths) - min(lengths)
    if usable and len(rates) == 1 and off > tolerance_s * max(rates):
        name = shorten(next(iter(headers)))
        text = f"{name}: mixture and sources differ in length: {', '.join(map(str, lengths))}"
        faults["length-mismatch"].append(f"{text} samples")
    return dict(faults)


def check_mixtures(
    rows: Sequence[MixtureRow],
    sample_rate: int,
    n_jobs: int,
    label: str,
    *,
    skip_bad: bool = False,
) -> list[MixtureRow]:
    """Look at every file's header, strictly: whole, one channel, one rate, one length a mixture.

    Args:
        rows: of audio that exists.
        sample_rate: that all files should have, in Hz.
        n_jobs: processes.
        label: for the progress bar.
        skip_bad: leave mixtures that cannot be used out; the log names them.

    Returns:
        the rows that can be used.

    Raises:
        UserError: lists the mixtures that cannot be used.
    """
    faults = find_faults(rows, sample_rate, n_jobs, label)
    texts = [text for text in faults if text]
    if texts and (not skip_bad or len(texts) == len(rows)):
        folder = Path(rows[0].mixture_path).parent.parent
        raise UserError(
            f"{list_lines(texts)}\n{folder}: {len(texts)} of {len(rows)} mixtures cannot be "
            f"used at audio.sample_rate={sample_rate}; make them again, or leave them out with "
            "--set corpus.skip_bad=true."
        )
    if texts:
        logger.warning(
            "%s: %d of %d mixtures are left out (corpus.skip_bad): %s",
            label,
            len(texts),
            len(rows),
            list_first(texts, joined_by="; "),
        )
    return [row for row, fault in zip(rows, faults, strict=True) if not fault]


def list_faults(
    rows: Sequence[MixtureRow],
    sample_rate: int | None,
    n_jobs: int,
    label: str,
    base: Path = Path(),
) -> list[str]:
    """What headers tell of mixtures that cannot be used; a sentence each.

    Args:
        rows: of audio that exists.
        sample_rate: that all should have, in Hz; None: any, but one a mixture.
        n_jobs: processes.
        label: for the progress bar.
        base: what their paths are relative to.
    """
    return [text for text in find_faults(rows, sample_rate, n_jobs, label, base) if text]


def find_faults(
    rows: Sequence[MixtureRow],
    sample_rate: int | None,
    n_jobs: int,
    label: str,
    base: Path = Path(),
) -> list[str]:
    """The same of each row, empty where it can be used; lengths that are cut are counted."""
    work = partial(_find_faults, base=base, sample_rate=sample_rate)
    results = run_jobs(work, rows, n_jobs, total=len(rows), label=label, unit="mixture", chunk=16)
    faults, cut = [], []
    for fault, off in results:
        faults.append(fault)
        cut += [off] if off and not fault else []
    if cut:
        logger.warning(
            "%s: in %d of %d mixtures the files differ in length by up to %d samples; each mixture "
            "is cut to its shortest file",
            label,
            len(cut),
            len(rows),
            max(cut),
        )
    return faults


def _find_faults(row: MixtureRow, base: Path, sample_rate: int | None) -> tuple[str, int]:
    """What is wrong with one mixture, and by how many samples its files differ in length."""
    headers = {path: read_header(base / path) for path in _list_paths(row)}
    faults = compare_headers(headers, sample_rate, LENGTH_TOLERANCE_S)
    lengths = [header.n_samples for header in headers.values()]
    text = "; ".join(text for texts in faults.values() for text in texts)
    return text, max(lengths) - min(lengths)


def shorten(path: str) -> str:
    """The folder and the name of a file.

    >>> shorten("/data/dev/s1/a.wav")
    's1/a.wav'
    """
    return "/".join(Path(path).parts[-2:])
