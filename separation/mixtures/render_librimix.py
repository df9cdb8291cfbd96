"""Rendering rows of LibriMix and of drawn tables: gains, LibriMix's order of operations.

:mod:`separation.mixtures.render` chooses who renders a row.
"""

from collections.abc import Sequence

import numpy as np

from separation.audio.clips import Clip
from separation.audio.pcm16 import quantise
from separation.audio.resample import count_resampled, resample
from separation.errors import UserError
from separation.mixtures.signals import Rendered, measure_snrs, name_sources
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow

FADE_SAMPLES = 8001


def render_librimix_row(
    row: MixtureRow,
    corpora: Corpora,
    rates: Sequence[int],
    modes: Sequence[str],
    types: Sequence[str],
    *,
    with_snrs: bool = False,
) -> dict[tuple[int, str], Rendered]:
    """Render one row to every output asked for, reading and resampling each source once.

    Follows LibriMix's ``create_librimix_from_metadata.py`` (commit b898ca3) to the bit: gain in
    float32, polyphase resampling, cut or pad, sum in order, 16 bits by libsndfile's rounding.

    Returns:
        ``{(rate, mode): Rendered}``.

    Raises:
        MissingInputError, UserError: a source that is absent or cannot be read.
    """
    parts = _read_parts(row, corpora, rates, modes, with_noise=bool(set(types) - {"mix_clean"}))
    outputs = {}
    for rate in rates:
        resampled = [resample(samples, own_rate, rate) for samples, own_rate, _ in parts]
        lengths = [count_resampled(length, own, rate) for _, own, length in parts]
        for mode in modes:
            fitted = fit_lengths(resampled, min(lengths) if mode == "min" else max(lengths))
            outputs[rate, mode] = _mix(fitted, row.n_src, types)
            if with_snrs:
                outputs[rate, mode].snrs_db = measure_snrs(fitted, row.n_src, types)
    return outputs


def _read_parts(
    row: MixtureRow, corpora: Corpora, rates: Sequence[int], modes: Sequence[str], with_noise: bool
) -> list[tuple[np.ndarray, int, int]]:
    """``(samples times gain, sample rate, whole length)`` of every source, then the noise.

    In ``min`` mode no more is decoded than the shortest source needs.
    """
    clips = [corpora.open_source(source) for source in row.sources]
    shortest_s = min(clip.n_samples / clip.sample_rate for clip in clips)
    parts = []
    for clip, source in zip(clips, row.sources, strict=True):
        assert source.gain is not None
        n_samples = clip.n_samples
        if "max" not in modes:
            n_samples = min(n_samples, _reach(shortest_s, clip.sample_rate, rates))
        parts.append((clip.read(n_samples, source.gain), clip.sample_rate, clip.n_samples))
    if with_noise:
        if row.noise is None or row.noise.gain is None:
            raise UserError(f"{row.mixture_id}: the table names no noise; ask for mix_clean.")
        clip = corpora.open_noise(row.noise.path)
        rate = clip.sample_rate
        longest = max(count_resampled(own.n_samples, own.sample_rate, rate) for own in clips)
        n_samples = longest if "max" in modes else min(longest, _reach(shortest_s, rate, rates))
        noise = read_noise(clip, longest, n_samples, row.noise.path)
        parts.append((noise * row.noise.gain, rate, longest))
    return parts


def _reach(duration_s: float, own_rate: int, rates: Sequence[int]) -> int:
    """Samples at ``own_rate`` that the first ``duration_s`` of every output depend on."""
    filter_reach = 10 * max(own_rate / min(*rates, own_rate), 1.0)  # resample_poly's filter
    slack = own_rate / min(rates)  # the last output sample may lie a little later
    return int(np.ceil(duration_s * own_rate + filter_reach + slack)) + 2


def read_noise(clip: Clip, longest: int, n_samples: int, path: str) -> np.ndarray:
    """The first ``n_samples`` of a noise that is made ``longest`` samples long.

    A noise shorter than the longest source is repeated with a cross-fade of half a second,
    which makes it float64; ``(time,)``. ``path`` is for the complaint.
    """
    if clip.n_samples >= longest:
        return clip.read(n_samples, 1.0)
    if clip.n_samples <= FADE_SAMPLES:
        raise UserError(
            f"{path}: the noise has {clip.n_samples} samples; more than "
            f"{FADE_SAMPLES} (half a second) are needed to repeat it; remove it from the table."
        )
    return extend_noise(clip.read(clip.n_samples, 1.0), longest)[:n_samples]


def extend_noise(noise: np.ndarray, n_samples: int) -> np.ndarray:
    """Repeat a noise until it has ``n_samples``, cross-fading with halves of a Hann window."""
    window = np.hanning(2 * FADE_SAMPLES - 1)
    rising, falling = window[:FADE_SAMPLES], window[FADE_SAMPLES - 1 :]
    extended = noise
    while len(extended) < n_samples:
        joint = extended[-FADE_SAMPLES:] * falling + noise[:FADE_SAMPLES] * rising
        extended = np.concatenate([extended[:-FADE_SAMPLES], joint, noise[FADE_SAMPLES:]])
    return extended[:n_samples]


def fit_lengths(parts: list[np.ndarray], n_samples: int) -> list[np.ndarray]:
    """Cut or zero-pad every part to ``n_samples``."""
    return [
        part[:n_samples] if len(part) >= n_samples else np.pad(part, (0, n_samples - len(part)))
        for part in parts
    ]


def _mix(parts: list[np.ndarray], n_src: int, types: Sequence[str]) -> Rendered:
    """Sum the parts for every type, in the first source's float32 and in order."""
    mixed = {}
    if "mix_clean" in types or "mix_both" in types:
        mixed["mix_clean"] = parts[0].copy()
        for part in parts[1:n_src]:
            mixed["mix_clean"] += part
    if "mix_both" in types:
        mixed["mix_both"] = mixed["mix_clean"].copy()
        mixed["mix_both"] += parts[-1]
    if "mix_single" in types:
        mixed["mix_single"] = parts[0].copy()
        mixed["mix_single"] += parts[-1]
    named = dict(zip([*name_sources(n_src), "noise"], parts, strict=False))
    rendered = Rendered({name: quantise(part) for name, part in named.items()})
    for kind in types:
        rendered.signals[kind] = quantise(mixed[kind])
    return rendered
