"""The options of a command that reads sets of mixtures: ``validate`` and ``compare``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.mixtures.kinds import MIX_FOLDERS, MODES
from separation.options import (
    ALL_CORES,
    DATA,
    add_corpora,
    add_data,
    add_overrides,
    one_of,
    sample_rate,
)


@dataclass(frozen=True, kw_only=True)
class MixtureOptions:
    """What all sets of mixtures of one call share.

    Attributes:
        corpora: ``NAME=DIR``, each.
        rate: of tables and trees, in Hz; None: 8000, or the recipe's.
        mode: ``min`` or ``max``; None: ``min``, or the recipe's.
        kind: ``mix_clean``, ``mix_both`` or ``mix``; None: what there is.
        overrides: ``section.key=value`` of a recipe, each.
        data: where ``MIX:split`` is looked for.
        n_jobs: processes.
        min_s: the shortest good mixture.
        level_tolerance_db: how far a level may be off.
    """

    corpora: Sequence[str] = ()
    rate: int | None = None
    mode: str | None = None
    kind: str | None = None
    overrides: Sequence[str] = ()
    data: Path = DATA
    n_jobs: int = ALL_CORES
    min_s: float = 1.0
    level_tolerance_db: float = 0.1


def add_mixture_options(parser: argparse.ArgumentParser, rate_help: str) -> None:
    """Declare what ``validate`` and ``compare`` share of :class:`MixtureOptions`."""
    group = parser.add_argument_group("how the sets are read")
    add_corpora(
        group, "root of the paths in a table: one corpus of speech, and wham=DIR or noise=DIR"
    )
    group.add_argument("--rate", type=sample_rate, metavar="HZ", help=rate_help)
    group.add_argument(
        "--mode",
        type=one_of(*MODES),
        metavar="|".join(MODES),
        help="of tables and trees: to the shortest or the longest source (min, or the recipe's)",
    )
    group.add_argument(
        "--type",
        dest="kind",
        type=one_of(*MIX_FOLDERS),
        metavar="|".join(MIX_FOLDERS),
        help="of tables and folders that have several (what there is, with noise where it can be)",
    )
    add_data(group, "folder in which MIX:split is looked for")
    add_overrides(group)
