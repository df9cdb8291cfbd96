"""The command ``experiments``: trained experiments, their keys that differ, and their scores."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from separation.errors import MissingInputError
from separation.options import EXP
from separation.text import list_first


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which experiments are listed, and how.

    Attributes:
        exp: experiments.
        sort: a column; scores best first.
        as_csv: as CSV with all digits in place of a table.
    """

    exp: Path = EXP
    sort: str = "recipe"
    as_csv: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.add_argument("--exp", type=Path, metavar="DIR", help="folder of the experiments (exp)")
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help="recipe, tag, steps, minutes, train_loss, dev_loss, dev_si_sdri, a test set (recipe)",
    )
    parser.add_argument("--csv", action="store_true", dest="as_csv", help="print CSV, all digits")


def run(options: Options) -> None:
    """Print the list; what cannot be listed is named on stderr.

    Raises:
        MissingInputError: there is no trained experiment.
        UserError: no such column.
    """
    from separation.experiments.listing import (
        format_csv,
        format_listing,
        list_experiments,
        sort_rows,
    )

    rows, untrained = list_experiments(options.exp)
    if not rows:
        raise MissingInputError(
            f"{options.exp}: holds no trained experiment; train one with bash run.sh, or name "
            "another folder with --exp."
        )
    rows = sort_rows(rows, options.sort)
    print(format_csv(rows) if options.as_csv else format_listing(rows), flush=True)
    if untrained:
        print(f"without a trained epoch: {list_first(untrained, 10)}", file=sys.stderr)
