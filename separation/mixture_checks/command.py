"""The command ``validate``: is a set of mixtures what it should be?"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separation.datasets.options import MixtureOptions, add_mixture_options
from separation.files import check_writable
from separation.mixture_checks.catalogue import CHECKS
from separation.options import add_jobs, add_out, number_from, one_of


@dataclass(frozen=True, kw_only=True)
class Options(MixtureOptions):
    """Which sets of mixtures are checked, and what may pass.

    Attributes:
        mixtures: tables, folders of audio, ``MIX:split``, or lists in JSON.
        allowed: names of checks whose findings are listed and may pass.
        out: folder of the report; None: what is printed alone.
    """

    mixtures: Sequence[str]
    allowed: Sequence[str] = ()
    out: Path | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of :class:`Options`."""
    parser.add_argument(
        "mixtures",
        nargs="+",
        metavar="MIXTURES",
        help="table, folder of audio, MIX:split (a recipe's), or JSON with is_valid, snr_error_db",
    )
    add_out(parser, "folder of validation.md, validation.json and histograms (none)")
    add_mixture_options(parser, "of tables and trees (8000, or the recipe's)")
    limits = parser.add_argument_group("what is a fault")
    limits.add_argument(
        "--min-s",
        type=number_from(0),
        metavar="S",
        help=f"shortest good mixture, in seconds ({Options.min_s:g})",
    )
    limits.add_argument(
        "--level-tolerance",
        type=number_from(0),
        dest="level_tolerance_db",
        metavar="DB",
        help=f"how far a level may be from what was asked for ({Options.level_tolerance_db:g})",
    )
    limits.add_argument(
        "--allow",
        action="append",
        dest="allowed",
        type=one_of(*CHECKS),
        metavar="CHECK",
        help=f"list its findings, but let them pass; repeatable. Of {', '.join(CHECKS)}",
    )
    limits.add_argument(
        "--allow-shared-speakers",
        action="append_const",
        const="leakage",
        dest="allowed",
        help="--allow leakage: wsj0-mix's tr and cv share speakers by design",
    )
    add_jobs(parser.add_argument_group("machine"))


def run(options: Options) -> int:
    """Check all sets given, print the outcome and write it where asked for.

    Returns:
        1 where something is wrong, else 0.

    Raises:
        UserError: an argument that is no set of mixtures.
    """
    if options.out:
        check_writable(options.out, "choose another with --out")
    from separation.mixture_checks.report import format_report, write_report
    from separation.mixture_checks.validation import validate_sets

    report, checked = validate_sets(options.mixtures, options, options.allowed)
    print(format_report(report), end="", flush=True)
    if options.out:
        write_report(options.out, report, checked)
    return 1 if report["mixtures_concerned"] else 0
