"""Rendering rows of wsj0-mix: pywsj0-mix's order of operations and its own 16-bit rounding."""

from collections.abc import Sequence

import numpy as np

from separation.audio.resample import resample
from separation.mixtures.signals import Rendered, measure_snrs, name_sources
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow, SourceRef

PEAK_MAX = 0.9


def render_wsj0_row(
    row: MixtureRow,
    corpora: Corpora,
    rates: Sequence[int],
    modes: Sequence[str],
    *,
    with_snrs: bool = False,
) -> dict[tuple[int, str], Rendered]:
    """Render one row of wsj0-mix as ``generate_wsjmix.py`` (pywsj0-mix, 6ca4c92) does.

    Each source is resampled, divided by the root of its ITU-T P.56 active level, set to its
    level in dB, zero-padded; the sum and the sources are divided by what keeps all of them
    below 0.9, for ``min`` and ``max`` apart.

    Args:
        row: its sources have ``level`` (active level, power) and ``snr_db``.

    Returns:
        ``{(rate, mode): Rendered}`` with signals ``s1``, ``s2``, ``mix``.
    """
    clips = [corpora.open_source(source) for source in row.sources]
    samples = [(clip.read(clip.n_samples, 1.0), clip.sample_rate) for clip in clips]
    outputs = {}
    for rate in rates:
        resampled = [resample(part, own_rate, rate) for part, own_rate in samples]
        lengths = list(map(len, resampled))
        scaled = [
            _set_level(part, max(lengths), source)
            for part, source in zip(resampled, row.sources, strict=True)
        ]
        for mode in modes:
            length = min(lengths) if mode == "min" else max(lengths)
            parts = [samples[:length] for samples in scaled]
            outputs[rate, mode] = _normalise(parts, with_snrs)
    return outputs


def _set_level(samples: np.ndarray, n_samples: int, source: SourceRef) -> np.ndarray:
    assert source.level is not None and source.snr_db is not None
    padded = np.pad(samples.astype(np.float64), (0, n_samples - len(samples)))
    return padded / np.sqrt(source.level) * 10 ** (source.snr_db / 20)


def _normalise(parts: list[np.ndarray], with_snrs: bool) -> Rendered:
    stacked = np.stack(parts)
    mixture = stacked.sum(axis=0)
    gain = max(1.0, np.abs(mixture).max(), np.abs(stacked).max()) / PEAK_MAX
    names = name_sources(len(parts))
    signals = {name: _round(part / gain) for name, part in zip(names, stacked, strict=True)}
    rendered = Rendered(signals | {"mix": _round(mixture / gain)})
    if with_snrs:
        snrs = measure_snrs(list(stacked / gain), len(parts), ["mix_clean"])
        rendered.snrs_db = {"mix": snrs["mix_clean"]}
    return rendered


def _round(samples: np.ndarray) -> np.ndarray:
    """16 bits as Matlab's old ``wavwrite`` made them: to the nearest, half to even."""
    return np.round(2**15 * samples).astype(np.int16)
