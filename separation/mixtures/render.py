"""One row of a mixture table of any kind -> the signals of its mixture; who renders which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from separation.audio.pcm16 import to_float
from separation.mixtures.existing import read_existing
from separation.mixtures.render_librimix import render_librimix_row
from separation.mixtures.render_wsj0 import render_wsj0_row
from separation.mixtures.signals import Mixture, Rendered, name_sources
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import MixtureRow, Origin


def render_mixture(
    row: MixtureRow,
    corpora: Corpora | None,
    sample_rate: int,
    mode: str = "min",
    kind: str = "",
    *,
    base: Path = Path(),
    with_noise: bool = False,
) -> Mixture:
    """Render one row, or read the audio that it names, to what training and evaluation take.

    Args:
        row: of any kind of mixture table.
        corpora: roots of its paths; None for audio that exists.
        sample_rate: of the result, in Hz; audio that exists must have it.
        mode: ``min`` (cut to the shortest source) or ``max`` (zero-padded to the longest).
        kind: ``mix_clean``, ``mix_both`` or ``mix_single``; empty: ``mix_clean``, of wsj0-mix
            its only one, ``mix``.
        base: what paths of audio that exists are relative to.
        with_noise: also keep the noise of ``mix_both``.

    Raises:
        MissingInputError, UserError: a file that is absent or cannot be used.
    """
    if row.origin == Origin.EXISTING:
        return read_existing(row, base, sample_rate, with_noise=with_noise)
    assert corpora is not None
    kind = choose_type(row, kind)
    rendered = render_row(row, corpora, [sample_rate], [mode], [kind])[sample_rate, mode]
    names = ["s1"] if kind == "mix_single" else name_sources(row.n_src)
    noise = rendered.signals.get("noise") if with_noise else None
    return Mixture(
        row=row,
        sample_rate=sample_rate,
        mixture=to_float(rendered.signals[kind]),
        sources=to_float(np.stack([rendered.signals[name] for name in names])),
        noise=None if noise is None else to_float(noise),
    )


def choose_type(row: MixtureRow, kind: str) -> str:
    """The mixture type that a row is rendered to: wsj0-mix has but one."""
    return "mix" if row.origin == Origin.WSJ0 else kind or "mix_clean"


def render_row(
    row: MixtureRow,
    corpora: Corpora,
    rates: Sequence[int],
    modes: Sequence[str],
    types: Sequence[str],
    *,
    with_snrs: bool = False,
) -> dict[tuple[int, str], Rendered]:
    """Every output of one row, as trees of WAV files hold it: ``{(rate, mode): Rendered}``.

    Raises:
        MissingInputError, UserError: a source that is absent or cannot be read.
    """
    if row.origin == Origin.WSJ0:
        return render_wsj0_row(row, corpora, rates, modes, with_snrs=with_snrs)
    return render_librimix_row(row, corpora, rates, modes, types, with_snrs=with_snrs)
