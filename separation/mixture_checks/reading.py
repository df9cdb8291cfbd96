"""Reading the signals of one mixture of any kind; a bad file is a finding, not an error."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from separation.audio.files import is_decoded_whole
from separation.audio.headers import DECODING_ERRORS, read_header
from separation.mixtures.dataset import ReadOptions
from separation.mixtures.existing import Faults, read_leniently
from separation.mixtures.render import choose_type, render_mixture
from separation.mixtures.signals import Mixture
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow, Origin
from separation.text import explain_error

BLOCK_SAMPLES = 1 << 16


def read_with_faults(row: MixtureRow, options: ReadOptions) -> tuple[Mixture | None, Faults]:
    """Read or render one row, with its noise where it has one.

    Returns:
        the signals, None where a file cannot be used, cut to the shortest where lengths differ;
        and what is wrong, by the checks ``unreadable``, ``wrong-channels``, ``wrong-rate``,
        ``length-mismatch``, ``non-finite``.
    """
    if row.origin == Origin.EXISTING:
        return read_leniently(row, options.base, options.sample_rate, with_noise=True)
    return _render(row, options)


def _render(row: MixtureRow, options: ReadOptions) -> tuple[Mixture | None, Faults]:
    corpora = options.corpora
    assert corpora is not None
    faults: Faults = defaultdict(list)
    noisy = choose_type(row, options.kind) == "mix_both"
    for path, name, channel in _list_recordings(row, corpora, with_noise=noisy):
        for check, text in _look_at(path, channel).items():
            faults[check].append(f"{name}: {text}")
    if not faults:
        _compare_rates(row, options, corpora, faults, with_noise=noisy)
    if faults:
        return None, faults
    try:
        rate, mode, kind = options.sample_rate, options.mode, options.kind
        return render_mixture(row, corpora, rate, mode, kind, with_noise=True), faults
    except DECODING_ERRORS as error:
        faults["unreadable"].append(explain_error(error))
        return None, faults


def _list_recordings(
    row: MixtureRow, corpora: Corpora, *, with_noise: bool
) -> Iterator[tuple[Path, str, str]]:
    """``(file, its path in the table, channel)`` of what a row is rendered from."""
    for source in row.sources:
        for path in source.paths:
            if corpora.pack is None or corpora.pack.find(path) is None:
                yield corpora.speech / path, path, source.channel
    if with_noise and corpora.noise is not None and row.noise is not None:
        yield corpora.noise / row.noise.path, row.noise.path, "first"


def _look_at(path: Path, channel: str) -> dict[str, str]:
    """Look at a corpus's file: header, very end, and NaN where it could hold any."""
    header = read_header(path)
    faults = header.list_faults(channel)
    if not faults and header.is_float and not is_decoded_whole(path) and not is_finite(path):
        faults["non-finite"] = "NaN or infinite samples"
    return faults


def is_finite(path: Path) -> bool:
    """Whether a file of floating-point samples holds neither NaN nor infinity."""
    with soundfile.SoundFile(path) as file:
        return all(np.isfinite(block).all() for block in file.blocks(BLOCK_SAMPLES))


def _compare_rates(
    row: MixtureRow, options: ReadOptions, corpora: Corpora, faults: Faults, *, with_noise: bool
) -> None:
    """A recording at less than the rate asked for has an empty upper band."""
    paths = [path for source in row.sources for path in source.paths]
    try:
        rates = {path: corpora.open_recording(path, "first").sample_rate for path in paths}
        if with_noise and row.noise is not None:
            rates[row.noise.path] = corpora.open_noise(row.noise.path).sample_rate
    except DECODING_ERRORS as error:
        faults["unreadable"].append(explain_error(error))
        return
    for path, rate in rates.items():
        if rate < options.sample_rate:
            faults["wrong-rate"].append(f"{path}: {rate} Hz, less than {options.sample_rate}")
