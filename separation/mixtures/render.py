"""One row of a mixture table of any kind -> the signals of its mixture."""

import numpy as np

from separation.audio.pcm16 import to_float
from separation.mixtures.render_librimix import render_row
from separation.mixtures.signals import Mixture, name_sources
from separation.mixtures.source_files import Corpora
from separation.mixtures.table import count_sources


def render_mixture(
    row: dict[str, str], corpora: Corpora, sample_rate: int, mode: str = "min", kind: str = ""
) -> Mixture:
    """Render one row to what training and evaluation read.

    Args:
        row: of any kind of mixture table.
        corpora: roots of its paths.
        sample_rate: of the result, in Hz.
        mode: ``min`` (cut to the shortest source) or ``max`` (zero-padded to the longest).
        kind: ``mix_clean``, ``mix_both`` or ``mix_single``; by default the row's own: with noise
            where it names one that ``corpora`` has.

    Raises:
        MissingInputError, UserError: a source that is absent or cannot be read.
    """
    if "mixture_path" in row:
        from separation.mixtures.existing import read_existing

        return read_existing(row, sample_rate)
    kind = kind or ("mix" if "source_1_level" in row else "mix_clean")
    rendered = render_row(row, corpora, [sample_rate], [mode], [kind])[sample_rate, mode]
    names = ["s1"] if kind == "mix_single" else name_sources(count_sources(row))
    sources = to_float(np.stack([rendered.signals[name] for name in names]))
    return Mixture(row, to_float(rendered.signals[kind]), sources)
