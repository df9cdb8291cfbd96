"""Whether recordings are as loud as the published lists say: other microphones, noise are not."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from separation.audio.files import read_mono
from separation.jobs import run_jobs, spread_evenly
from separation.mixtures.table import MixtureRow

N_SAMPLED = 200  # recordings, evenly spread over the lists
# Active level (ITU-T P.56, pauses left out) over mean power, in dB: speech with a tenth of the time
# active reaches the upper bound; nothing is louder than its loud parts.
LOWEST_DB, HIGHEST_DB = -1.0, 10.0


def find_wrong_levels(rows: Sequence[MixtureRow], speech: Path, n_jobs: int) -> list[str]:
    """Recordings whose mean power does not fit the active level that a list states.

    Args:
        rows: of published lists; those without levels are left alone.
        speech: root of their paths.
        n_jobs: processes.

    Returns:
        a sentence for each, the largest differences first.
    """
    levels = {source.path: source.level for row in rows for source in row.sources if source.level}
    paths = sorted(levels)
    chosen = [paths[index] for index in spread_evenly(len(paths), N_SAMPLED)] if paths else []
    jobs = [(speech / path, levels[path]) for path in chosen]
    ratios = run_jobs(
        _compare, jobs, n_jobs, total=len(jobs), label="check levels", unit="file", chunk=8
    )
    wrong = [
        (max(LOWEST_DB - ratio, ratio - HIGHEST_DB), path, ratio)
        for path, ratio in zip(chosen, ratios, strict=True)
        if not LOWEST_DB <= ratio <= HIGHEST_DB
    ]
    return [
        f"{path}: the published level is {ratio:+.0f} dB from the file's mean"
        for _, path, ratio in sorted(wrong, reverse=True)
    ]


def _compare(job: tuple[Path, float]) -> float:
    """Published active level over measured mean power, in dB."""
    path, level = job
    samples, _ = read_mono(path, "first")
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return 10 * math.log10(level / power) if power > 0 else math.inf
