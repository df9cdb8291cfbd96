"""The command ``score``: separated files of any systems against references, as ``compare`` does.

Nothing is separated here: the files that a system wrote are read. The rest is that of ``compare``:
the scorer, the unprocessed mixture as the floor, oracle masks as ceilings, intervals, paired
differences, break-downs, and a page with players.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from separation.compare import command as compare
from separation.compare.options import (
    SET_HELP,
    ScoringOptions,
    add_estimates,
    add_sample,
    add_scoring_options,
)
from separation.compare.options import Options as CompareOptions
from separation.datasets.options import add_mixture_options
from separation.options import EXP, add_cluster, add_jobs


@dataclass(frozen=True, kw_only=True)
class Options(ScoringOptions):
    """Whose separated files are scored against what.

    Attributes:
        references: a table, a folder of audio or ``MIX:split``.
        estimates: ``NAME=DIR``, each.
    """

    references: str
    estimates: Sequence[str]
    out: Path = EXP / "score"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    scored = parser.add_argument_group("what is scored")
    scored.add_argument(
        "--references",
        required=True,
        metavar="SET",
        help=f"the mixtures and their sources: {SET_HELP}, CSV, JSON or scp lists",
    )
    add_estimates(scored, required=True)
    add_sample(scored)
    add_scoring_options(parser, "exp/score")
    add_mixture_options(parser, "of tables and trees (that of the separated files)")
    machine = parser.add_argument_group("machine")
    add_jobs(machine)
    add_cluster(machine)


def run(options: Options) -> int:
    """Score every system, write the report, print its table.

    Returns:
        1 where mixtures could not be scored or the scorer is not mir_eval's equal, else 0.

    Raises:
        UserError: anything wrong with options, references or separated files, before the first
            mixture is scored.
    """
    shared = {field.name: getattr(options, field.name) for field in fields(ScoringOptions)}
    return compare.run(CompareOptions(test_sets=[options.references], device="cpu", **shared))
